"""X32: a crawl is cancelled, done, timed out and taken back at the same moment, in a thousand random orders."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select

from crawler.errors import NotCancellable
from crawler.model import CrawlStatus, Kind, Lease, Outcome, UrlStatus
from crawler.store.schema import crawls, urls
from tests.store.conftest import Store, completed, store, store_url

__all__ = ["store", "store_url"]

#: Crawls that race at the same time.
AT_ONCE = 10
LIMIT = 3


@pytest.mark.parametrize("races", [50, pytest.param(1_000, marks=pytest.mark.chaos)])
async def test_x32_whoever_comes_first_the_crawl_ends_once_and_its_counters_add_up(
    store: Store, races: int
) -> None:
    rng = random.Random(32)
    for start in range(0, races, AT_ONCE):
        await _race(store, range(start, start + AT_ONCE), rng)
    async with store.database.read() as connection:
        ended = {row.id: row for row in await connection.execute(select(crawls))}
        rows = (await connection.execute(select(urls.c.crawl_id, urls.c.status))).all()
    counts: dict[str, Counter[str]] = {crawl_id: Counter() for crawl_id in ended}
    for row in rows:
        counts[row.crawl_id][row.status] += 1
    assert len(ended) == races
    for crawl in ended.values():
        counted = {status: getattr(crawl, status) for status in ("completed", "errored", "cancelled")}
        assert +Counter(counted) == counts[crawl.id]
        assert sum(counted.values()) <= LIMIT
        assert crawl.queued == 0
    # Each of the ways to end has won.
    assert {crawl.status for crawl in ended.values()} == {
        CrawlStatus.COMPLETED,
        CrawlStatus.CANCELLED_BY_USER,
        CrawlStatus.CANCELLED_DUE_TO_TIMEOUT,
    }


async def _race(store: Store, numbers: range, rng: random.Random) -> None:
    """Some crawls, whose last pages are finished, lost and cancelled at once. Ends when they have ended."""
    crawl_ids = [await store.create(f"https://h{number}.test/", limit=LIMIT) for number in numbers]
    for lease in await _lease(store):
        links = [lease.url + name for name in ("a", "b", "beyond")]
        await store.finisher.finish([completed(lease, *links)])
    endings: list[Coroutine[Any, Any, object]] = [
        store.finisher.finish([completed(lease, lease.url + "beyond")]) for lease in await _lease(store)
    ]
    for lease in await _lease(store):
        # The tick takes a lease back at the moment at which its holder is done.
        endings.append(store.finisher.finish([completed(lease)]))
        endings.append(store.finisher.finish([Outcome(lease, UrlStatus.ERRORED, "worker_lost")]))
    for crawl_id in crawl_ids:
        endings.append(_cancel(store, crawl_id))
        endings.append(store.crawls.end(crawl_id, CrawlStatus.CANCELLED_DUE_TO_TIMEOUT))
    rng.shuffle(endings)
    await asyncio.gather(*endings)


async def _lease(store: Store) -> tuple[Lease, ...]:
    """The next page of each crawl of this race."""
    await store.clock.advance(1_000)
    leases = (await store.frontier.lease(Kind.STATIC, 2 * AT_ONCE)).leases
    assert len(leases) == AT_ONCE
    return leases


async def _cancel(store: Store, crawl_id: str) -> None:
    with suppress(NotCancellable):
        await store.crawls.cancel("local", crawl_id)
