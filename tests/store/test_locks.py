"""Transactions that want the same rows take them in one order, or pass by: none ends another as a deadlock.

Each test holds one row, and looks which others somebody who waits for it holds already. SQLite has one writer at a
time, and no such test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Column, Table, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.errors import Unavailable
from crawler.model import ErrorCode, HostSign, Kind, Outcome, UrlStatus
from crawler.store.schema import hosts, urls
from tests.store.conftest import Clock, Store, completed, open_store

pytestmark = pytest.mark.servers


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with open_store(database_url, Clock()) as opened:
        yield opened


@asynccontextmanager
async def holding(store: Store, table: Table, row_id: int) -> AsyncIterator[None]:
    """Somebody else's transaction, which has locked this row."""
    async with store.database.write() as connection:
        await lock(connection, table, row_id)
        yield


async def lock(connection: AsyncConnection, table: Table, row_id: int, *, nowait: bool = False) -> None:
    column: Column[int] = table.c.id
    await connection.execute(select(column).where(column == row_id).with_for_update(nowait=nowait))


async def until_somebody_waits(store: Store) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(20), store.database.read() as connection:
        # Each look in a transaction of its own: one alone would always see the same.
        while not (await connection.execute(waiting)).scalar_one():
            await connection.rollback()
            await asyncio.sleep(0.02)


async def test_a_finish_locks_pages_in_the_order_of_their_ids(store: Store) -> None:
    """As a heartbeat does, which may be about the same ones."""
    await store.create()
    first = await store.lease_one()
    await store.finisher.finish([completed(first, *(f"https://site.test/{n}" for n in range(9)))])
    leases = [await store.lease_one() for _ in range(9)]
    # On the page of the table the last one comes first.
    for lease in reversed(leases):
        async with store.database.write() as connection:
            await connection.execute(update(urls).where(urls.c.id == lease.url_id).values(browser_ms=1))
    lowest, *others = sorted(lease.url_id for lease in leases)
    async with holding(store, urls, lowest):
        acting = asyncio.ensure_future(
            store.finisher.finish([completed(lease) for lease in reversed(leases)])
        )
        await until_somebody_waits(store)
        async with store.database.write() as connection:
            for row_id in others:
                await lock(connection, urls, row_id, nowait=True)
    await acting


async def test_a_lease_waits_for_no_page(store: Store) -> None:
    """Whoever holds it, a crawl that ends for one, may want the host's row next, which the lease has."""
    await store.create()
    page = await store.lease_one()
    await store.hand_back(page)
    await store.clock.advance(1_000)
    async with holding(store, urls, page.url_id):
        assert not (await store.frontier.lease(Kind.STATIC, 1)).leases
    assert (await store.lease_one()).url_id == page.url_id


async def test_hosts_are_locked_in_the_order_of_their_ids(store: Store) -> None:
    """A finish pushes hosts out, and wakes others."""
    await store.hosts.ensure(["low.test"])
    low = (await store.hosts.ensure(["low.test"]))["low.test"]
    for url in ("https://high.test/", "https://page.test/"):
        await store.create(url)
    by_host = {lease.host: lease for lease in [await store.lease_one(), await store.lease_one()]}
    overloaded = by_host["high.test"]
    outcomes = [
        Outcome(
            overloaded,
            UrlStatus.QUEUED,
            "http_error",
            retry_after_seconds=5,
            host_sign=HostSign(ErrorCode.HTTP_ERROR, wait_seconds=5),
        ),
        completed(by_host["page.test"], "https://low.test/"),
    ]
    async with holding(store, hosts, low):
        finishing = asyncio.ensure_future(store.finisher.finish(outcomes))
        await until_somebody_waits(store)
        async with store.database.write() as connection:
            await lock(connection, hosts, overloaded.host_id, nowait=True)
    assert len((await finishing).accepted) == 2


async def test_a_deadlock_changes_nothing_and_may_be_tried_again(store: Store) -> None:
    ids = await store.hosts.ensure(["a.test", "b.test"])
    both_hold = asyncio.Barrier(2)

    async def take(first: str, second: str) -> None:
        async with store.database.write() as connection:
            await lock(connection, hosts, ids[first])
            await both_hold.wait()
            await lock(connection, hosts, ids[second])

    both = [asyncio.create_task(take(*names)) for names in (("a.test", "b.test"), ("b.test", "a.test"))]
    await asyncio.wait(both)
    ends = [task.exception() for task in both]
    assert [type(end) for end in ends if isinstance(end, BaseException)] == [Unavailable]
