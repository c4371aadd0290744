"""A request that is late lets the others know before it leaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit, urlunsplit

import pytest
from sqlalchemy import select

from crawler.address_turns import AddressTurns
from crawler.errors import Unavailable
from crawler.fetch.egress import Egress
from crawler.settings import Settings
from crawler.store.addresses import Addresses
from crawler.store.database import Database
from crawler.store.hosts import Hosts
from crawler.store.schema import hosts
from crawler.turns import Turns
from tests.faults.relay import Relay
from tests.store.conftest import LEASE_MS, Store

LATE_MS = 100


@pytest.fixture
def egress() -> Iterator[Egress]:
    with closing(Egress(Settings.load())) as opened:
        yield opened


def turns_of(store: Store, egress: Egress, told: Hosts) -> Turns:
    """Turns of a process that is always late, and tells others by way of `told`."""
    addresses = AddressTurns(Addresses(store.database, gap_ms=0), egress, gap_seconds=0.0)
    return Turns(
        store.frontier,
        told,
        addresses,
        lease_seconds=LEASE_MS / 1000,
        monotonic=lambda: time.monotonic() + LATE_MS / 1000,
    )


async def next_turn_at(store: Store) -> int:
    async with store.database.read() as connection:
        return int((await connection.execute(select(hosts.c.next_fetch_at))).scalar_one())


async def test_a_late_request_moves_the_next_turn_before_it_leaves(store: Store, egress: Egress) -> None:
    await store.create()
    lease = await store.lease_one()
    planned_at = await next_turn_at(store)
    await store.clock.advance(LATE_MS)
    turns = turns_of(store, egress, store.hosts)
    await turns.take(lease)
    assert await next_turn_at(store) >= planned_at + LATE_MS
    await turns.close()


async def test_a_late_request_does_not_leave_when_the_next_turn_is_gone(store: Store, egress: Egress) -> None:
    await store.create()
    await store.create()
    lease = await store.lease_one()
    # So long does it take to tell the others: one of them has leased meanwhile.
    await store.lease_one()
    taken_at = await next_turn_at(store)
    turns = turns_of(store, egress, store.hosts)
    await turns.take(lease)
    assert await next_turn_at(store) >= taken_at + lease.interval_ms
    await turns.close()


async def test_a_late_request_leaves_no_later_than_the_others_were_told(
    store: Store, store_url: str, egress: Egress
) -> None:
    if store.database.is_sqlite:
        pytest.skip("a file cannot be slow here")
    await store.create()
    lease = await store.lease_one()
    await store.clock.advance(LATE_MS)
    parts = urlsplit(store_url)
    with Relay(parts.port or 5432) as relay:
        relay.delay(0.05)
        slow = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{relay.port}")
        async with Database(urlunsplit(slow)) as database:
            turns = turns_of(store, egress, Hosts(database, default_delay_ms=lease.interval_ms))
            await turns.take(lease)
            left_at = store.clock()
            assert await next_turn_at(store) >= left_at + lease.interval_ms - 20
            await turns.close()


async def test_a_late_request_of_a_process_that_can_tell_nobody_does_not_leave(
    store: Store, egress: Egress
) -> None:
    await store.create()
    lease = await store.lease_one()
    async with Database("postgresql://nobody@127.0.0.1:1/nowhere") as away:
        turns = turns_of(store, egress, Hosts(away, default_delay_ms=500))
        with pytest.raises(Unavailable):
            await turns.take(lease)
        await turns.close()
