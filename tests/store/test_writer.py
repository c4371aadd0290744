"""Group commit: who waits for whom."""

from __future__ import annotations

import asyncio

import pytest

from crawler.model import Lease, UrlStatus
from crawler.writer import Writer
from tests.store.conftest import LEASE_MS, Store, completed

FOR_EVER = 3_600.0
#: Far more than one transaction takes.
PATIENCE_SECONDS = 20


def writer(store: Store, *, in_flight: int, gather_seconds: float) -> Writer:
    return Writer(
        store.finisher,
        in_flight=lambda: in_flight,
        gather_seconds=gather_seconds,
        on_queued=lambda: None,
        give_up_seconds=LEASE_MS / 1000,
    )


async def two_leases(store: Store) -> tuple[str, Lease, Lease]:
    crawl_id = await store.create()
    links = ("https://site.test/a", "https://site.test/b")
    await store.finisher.finish([completed(await store.lease_one(), *links)])
    return crawl_id, await store.lease_one(), await store.lease_one()


async def test_a_lone_page_waits_for_nobody(store: Store) -> None:
    await store.create()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await writer(store, in_flight=1, gather_seconds=FOR_EVER).write(completed(await store.lease_one()))


async def test_a_page_waits_for_the_others_in_flight_and_is_written_with_them(store: Store) -> None:
    crawl_id, first, second = await two_leases(store)
    pages = writer(store, in_flight=2, gather_seconds=FOR_EVER)
    waiting = asyncio.create_task(pages.write(completed(first)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.shield(waiting)
    assert pages.waiting == 1
    assert pages.has(first)
    assert (await store.urls_with_status(crawl_id))[first.url] == UrlStatus.QUEUED
    async with asyncio.timeout(PATIENCE_SECONDS):
        await pages.write(completed(second))
        await waiting
    assert pages.waiting == 0
    statuses = await store.urls_with_status(crawl_id)
    assert {statuses[first.url], statuses[second.url]} == {UrlStatus.COMPLETED}


async def test_a_page_waits_for_slow_others_for_a_moment_only(store: Store) -> None:
    _, first, _ = await two_leases(store)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await writer(store, in_flight=2, gather_seconds=0.01).write(completed(first))


async def test_nothing_is_left_when_it_closes(store: Store) -> None:
    crawl_id, first, _ = await two_leases(store)
    pages = writer(store, in_flight=2, gather_seconds=0.05)
    waiting = asyncio.create_task(pages.write(completed(first)))
    while not pages.waiting:
        await asyncio.sleep(0)
    await pages.close()
    assert (await store.urls_with_status(crawl_id))[first.url] == UrlStatus.COMPLETED
    await waiting
