"""Hosts that fail: pushed out, tried by one page at a time, given up for a while, back at the first answer.

The circuit of these tests opens after 3 failures and gives up after 5; the interval is half a second.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, select

from crawler.model import ErrorCode, HostSign, Kind, Lease, Outcome, UrlStatus
from crawler.store.clock import ClockJumps
from crawler.store.database import later_of, now
from crawler.store.schema import circuits, hosts
from tests.store.conftest import LEASE_MS, Store, completed

AWAY = HostSign(ErrorCode.CONNECT_FAILED)
HERE = HostSign()


async def host(store: Store, origin: str = "https://site.test") -> Row[Any]:
    """An origin of the only host, and how many milliseconds its pages wait."""
    wait = later_of(hosts.c.next_fetch_at, func.coalesce(circuits.c.next_try_at, 0)) - now()
    row = select(
        func.coalesce(circuits.c.failures, 0).label("failures"),
        func.coalesce(circuits.c.failure, "").label("failure"),
        func.coalesce(circuits.c.pause_ms, 0).label("pause_ms"),
        wait.label("wait_ms"),
        (hosts.c.next_fetch_at - now()).label("host_wait_ms"),
    ).join_from(
        hosts, circuits, (circuits.c.host_id == hosts.c.id) & (circuits.c.origin == origin), isouter=True
    )
    async with store.database.read() as connection:
        return (await connection.execute(row)).one()


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
    assert probe.host_failures == 3
    await store.clock.advance(3_500)
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
    assert row.wait_ms <= 500


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
    assert (row.failures, row.failure, row.pause_ms) == (0, "", 0)
    assert (await lease(store)).host_down is None


async def test_x26_a_clock_that_is_set_back_does_not_keep_a_host_down(store: Store) -> None:
    await crawl(store)
    await fail(store, 5)
    found = await lease(store)
    assert found.host_down is not None
    await report(store, found, sign=None)
    async with store.database.write() as connection:
        await connection.execute(circuits.update().values(down_until_at=now() + 86_400_000))
    assert (await lease(store)).host_down is None


async def two_origins(store: Store) -> None:
    """A crawl with pages of a closed port first, and pages of an open one; the closed one has failed three times."""
    await store.create()
    seed = await store.lease_one()
    closed = [f"https://site.test:8443/{n}" for n in range(8)]
    await store.finisher.finish([completed(seed, *closed, *(f"https://site.test/{n}" for n in range(8)))])


async def next_page(store: Store) -> Lease | None:
    """What is handed out half a second later."""
    await store.clock.advance(501)
    leases = (await store.frontier.lease(Kind.STATIC, 5)).leases
    return leases[0] if leases else None


async def test_x41_a_closed_port_does_not_hold_up_the_other_ports_of_its_host(store: Store) -> None:
    await two_origins(store)
    came: list[str] = []
    while len(came) < 8:
        found = await next_page(store)
        assert found is not None, "every half second the host has a turn, and a page that may have it"
        if ":8443" in found.url:
            await report(store, found)
            continue
        came.append(found.url)
        assert (found.host_failures, found.host_down) == (0, None)
        await store.finisher.finish([completed(found)])
    assert (await host(store, "https://site.test:8443")).failures >= 3
    assert (await host(store)).failures == 0


async def test_x41_what_one_port_answers_ends_no_row_of_another(store: Store) -> None:
    await two_origins(store)
    closed = await next_page(store)
    assert closed is not None
    await report(store, closed)
    # The other one waits a second for its next try.
    open_page = await next_page(store)
    assert open_page is not None
    assert ":8443" not in open_page.url
    await report(store, open_page, sign=HERE)
    assert (await host(store, "https://site.test:8443")).failures == 1


async def test_x41_a_host_with_paused_origins_only_is_not_looked_at_all_the_time(store: Store) -> None:
    await crawl(store)
    await fail(store, 3)
    await lease(store)
    await store.clock.advance(600)
    found = await store.frontier.lease(Kind.STATIC, 5)
    assert found.leases == ()
    assert found.next_due_seconds is not None
    assert found.next_due_seconds > 1


async def test_g6_an_overloaded_machine_is_left_alone_whatever_the_port(store: Store) -> None:
    await two_origins(store)
    found = await next_page(store)
    assert found is not None
    assert ":8443" in found.url
    await report(store, found, sign=HostSign(ErrorCode.HTTP_ERROR, 30))
    assert (await host(store)).host_wait_ms > 29_000
    await store.clock.advance(20_000)
    assert await next_page(store) is None


async def test_x26_a_clock_that_is_set_back_does_not_keep_an_origin_waiting(store: Store) -> None:
    await crawl(store)
    await fail(store, 3)
    async with store.database.write() as connection:
        await connection.execute(circuits.update().values(next_try_at=now() + 86_400_000))
    await store.clock.advance(1_000)
    assert (await store.frontier.lease(Kind.STATIC, 5)).leases == ()
    assert await ClockJumps(store.database, lease_ms=LEASE_MS, longest_wait_ms=600_000).mend()
    await store.clock.advance(2_000)
    assert len((await store.frontier.lease(Kind.STATIC, 5)).leases) == 1
