"""Turns at one address: far enough apart whoever asks, few who wait, and rows that go away again."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select

from crawler.model import Kind
from crawler.store.addresses import Addresses, AddressTurn
from crawler.store.database import Database
from crawler.store.schema import addresses
from tests.store.conftest import Store

GAP_MS = 200
HERE, THERE = "127.0.0.1", "2001:db8::1"


@pytest.fixture
def turns(store: Store) -> Addresses:
    return Addresses(store.database, gap_ms=GAP_MS)


async def count(store: Store) -> int:
    async with store.database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(addresses))).scalar_one()


async def next_at(store: Store) -> int:
    async with store.database.read() as connection:
        return int((await connection.execute(select(addresses.c.next_at))).scalar_one())


async def test_g2_turns_at_one_address_are_apart_and_other_addresses_do_not_wait(
    store: Store, turns: Addresses
) -> None:
    taken = [await turns.take(HERE, "a.test") for _ in range(4)]
    assert taken[0] == AddressTurn(0, is_only_host=True)
    assert taken[1] is not None
    assert 0.1 < taken[1].wait_seconds <= 0.2
    assert taken[-1] is None, "more than two would wait"
    assert await turns.take(THERE, "a.test") == AddressTurn(0, is_only_host=True)
    await store.clock.advance(GAP_MS)
    assert await turns.take(HERE, "a.test") is not None


async def test_g2_a_host_is_alone_until_another_one_comes(store: Store, turns: Addresses) -> None:
    hosts = ("a.test", "a.test", "b.test", "a.test")
    taken = [await turns.reserve(HERE, host) for host in hosts]
    assert [turn.is_only_host for turn in taken] == [True, True, False, False]


async def test_g2_a_host_that_is_turned_away_is_not_alone(store: Store, turns: Addresses) -> None:
    while await turns.take(HERE, "a.test") is not None:
        pass
    assert not (await turns.reserve(HERE, "a.test")).is_only_host


async def test_g2_workers_share_the_turns(store: Store, store_url: str) -> None:
    """Twenty that ask at the same time over several connections get twenty different turns."""
    async with Database(store_url, clock=store.clock) as other:
        workers = [Addresses(database, gap_ms=GAP_MS) for database in (store.database, other)]
        await workers[0].reserve(HERE, "a.test")
        first = await next_at(store)
        await asyncio.gather(*(workers[n % 2].reserve(HERE, f"n{n}.test") for n in range(20)))
    assert await next_at(store) - first >= 20 * GAP_MS


async def test_g2_hosts_that_are_turned_away_come_back_one_after_another(
    store: Store, turns: Addresses
) -> None:
    # So many that a slow machine turns some of them away, too.
    for number in range(12):
        await store.create(f"https://n{number}.test/")
    leases = (await store.frontier.lease(Kind.STATIC, 20)).leases
    assert len(leases) == 12
    asked_at = store.clock()
    away = {lease.host for lease in leases if await turns.take(HERE, lease.host) is None}
    assert len(away) >= 3
    for lease in leases:
        await store.hand_back(lease)
    came: set[str] = set()
    for _ in range(40):
        await store.clock.advance(GAP_MS // 2)
        began_at = store.clock()
        due = {lease.host for lease in (await store.frontier.lease(Kind.STATIC, 20)).leases}
        # The clock goes on by itself, too, and a slow machine takes its time.
        assert len(due & away) <= 1 + (store.clock() - asked_at) / GAP_MS
        asked_at = began_at
        came |= due & away
    assert came == away


async def test_rows_that_say_nothing_any_more_are_deleted(store: Store, turns: Addresses) -> None:
    await turns.take(HERE, "a.test")
    await turns.delete_idle()
    assert await count(store) == 1
    await store.clock.advance(61_000)
    await turns.take(THERE, "a.test")
    await turns.delete_idle()
    assert await count(store) == 1


async def test_x26_a_clock_that_is_set_back_does_not_close_an_address(store: Store, turns: Addresses) -> None:
    await store.clock.advance(3_600_000)
    await turns.take(HERE, "a.test")
    await store.clock.advance(-3_600_000)
    assert await turns.take(HERE, "a.test") is None
    await turns.delete_idle()
    assert await turns.take(HERE, "a.test") == AddressTurn(0, is_only_host=True)
