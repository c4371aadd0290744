"""Hosts that fail: pushed out, tried by one page at a time, given up for a while, back at the first answer.

The circuit of these tests opens after 3 failures and gives up after 5; the interval is half a second.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select

from crawler.model import ErrorCode, HostSign, Kind, Lease, Outcome, UrlStatus
from crawler.store.database import now
from crawler.store.schema import hosts
from tests.store.conftest import Store, completed

AWAY = HostSign(ErrorCode.CONNECT_FAILED)
HERE = HostSign()


async def host(store: Store) -> Row[Any]:
    """The only host, and how many milliseconds it waits."""
    wait = (hosts.c.next_fetch_at - now()).label("wait_ms")
    async with store.database.read() as connection:
        return (await connection.execute(select(hosts, wait))).one()


async def crawl(store: Store, pages: int = 10) -> None:
    """A crawl with so many pages queued."""
    await store.create()
    seed = await store.lease_one()
    await store.finisher.finish([completed(seed, *(f"https://site.test/{n}" for n in range(pages)))])


async def lease(store: Store) -> Lease:
    """The next page, once the host may be asked."""
    wait_ms = (await host(store)).wait_ms
    await store.clock.advance(max(0, wait_ms) + 1)
    (found,) = (await store.frontier.lease(Kind.STATIC, 1)).leases
    return found


async def report(store: Store, *leases: Lease, sign: HostSign | None = AWAY, counts: bool = True) -> None:
    await store.finisher.finish(
        [Outcome(one, UrlStatus.QUEUED, "x", host_sign=sign, give_attempt_back=not counts) for one in leases]
    )


async def fail(store: Store, times: int) -> None:
    for _ in range(times):
        await report(store, await lease(store))


async def test_failures_in_a_row_are_the_hosts_and_not_one_pages(store: Store) -> None:
    await crawl(store)
    for failures, wait_ms in ((1, 1_000), (2, 2_000)):
        found = await lease(store)
        assert found.attempt == 1
        await store.finisher.finish([Outcome(found, UrlStatus.ERRORED, "connect_failed", host_sign=AWAY)])
        row = await host(store)
        assert (row.failures, row.failure) == (failures, "connect_failed")
        assert wait_ms - 500 < row.wait_ms <= wait_ms


async def test_the_host_decides_how_long_it_is_left_alone(store: Store) -> None:
    await crawl(store)
    await report(store, await lease(store), sign=HostSign(ErrorCode.HTTP_ERROR, 30))
    assert 29_000 < (await host(store)).wait_ms <= 30_000


async def test_what_says_nothing_changes_nothing(store: Store) -> None:
    await crawl(store)
    await fail(store, 1)
    await report(store, await lease(store), sign=None)
    assert (await host(store)).failures == 1


async def test_an_answer_ends_the_row(store: Store) -> None:
    await crawl(store)
    await fail(store, 2)
    found = await lease(store)
    assert found.host_failures == 2
    await report(store, found, sign=HERE)
    assert (await host(store)).failures == 0


async def test_x41_one_page_at_a_time_tries_a_host_whose_circuit_is_open(store: Store) -> None:
    await crawl(store)
    await fail(store, 3)
    probe = await lease(store)
    assert (probe.host_failures, probe.interval_ms) == (3, 4_000)
    await store.clock.advance(3_900)
    assert (await store.frontier.lease(Kind.STATIC, 5)).leases == ()
    await report(store, probe, counts=False)
    row = await host(store)
    assert row.failures == 4
    assert 7_500 < row.wait_ms <= 8_000


async def test_x41_the_first_answer_brings_a_host_back_at_its_interval(store: Store) -> None:
    await crawl(store)
    await fail(store, 4)
    await report(store, await lease(store), sign=HERE)
    row = await host(store)
    assert (row.failures, row.pause_ms) == (0, 0)
    assert 0 < row.wait_ms <= 500


async def test_x41_pages_under_way_when_the_circuit_opens_count_once(store: Store) -> None:
    await crawl(store)
    early: list[Lease] = []
    for _ in range(6):
        await store.clock.advance(600)
        early += (await store.frontier.lease(Kind.STATIC, 1)).leases
    await report(store, *early[:5])
    assert (await host(store)).failures == 3
    await report(store, early[5])
    row = await host(store)
    assert row.failures == 3
    assert row.wait_ms <= 4_000


async def test_pages_that_the_host_answers_between_failures_keep_the_circuit_closed(store: Store) -> None:
    await crawl(store, 20)
    for _ in range(4):
        pages = [await lease(store) for _ in range(3)]
        await store.finisher.finish(
            [
                Outcome(page, UrlStatus.QUEUED, "x", host_sign=HERE if number else AWAY)
                for number, page in enumerate(pages)
            ]
        )
    assert (await host(store)).failures == 1


async def test_x41_a_host_that_is_down_is_not_asked_for_a_while(store: Store) -> None:
    await crawl(store)
    await fail(store, 5)
    row = await host(store)
    assert (row.failures, row.pause_ms) == (5, 16_000)
    found = await lease(store)
    assert found.host_down is ErrorCode.CONNECT_FAILED
    await store.finisher.finish([Outcome(found, UrlStatus.ERRORED, found.host_down, unused_turn=True)])
    assert (await host(store)).wait_ms <= 0
    await store.clock.advance(600_000)
    probe = await lease(store)
    assert probe.host_down is None
    await report(store, probe, counts=False)
    assert (await lease(store)).host_down is ErrorCode.CONNECT_FAILED


async def test_x41_a_host_that_was_down_comes_back(store: Store) -> None:
    await crawl(store)
    await fail(store, 5)
    await store.clock.advance(600_000)
    await report(store, await lease(store), sign=HERE)
    row = await host(store)
    assert (row.failures, row.failure, row.pause_ms, row.down_until_at) == (0, "", 0, 0)
    assert (await lease(store)).host_down is None


async def test_x26_a_clock_that_is_set_back_does_not_keep_a_host_down(store: Store) -> None:
    await crawl(store)
    await fail(store, 5)
    found = await lease(store)
    assert found.host_down is not None
    await report(store, found, sign=None)
    async with store.database.write() as connection:
        await connection.execute(hosts.update().values(down_until_at=now() + 86_400_000))
    assert (await lease(store)).host_down is None
