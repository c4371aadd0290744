"""Leases: one holder at a time, one request per host and interval, nothing forgotten."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError

from crawler.model import CrawlStatus, Kind, Outcome, UrlStatus
from crawler.store.database import now
from crawler.store.frontier import Frontier, Politeness
from crawler.store.schema import hosts, urls
from tests.store.conftest import LEASE_MS, Store, completed


async def test_the_seed_is_leased_first_and_once(store: Store) -> None:
    crawl_id = await store.create()
    first = await store.frontier.lease(Kind.STATIC, 10)
    second = await store.frontier.lease(Kind.STATIC, 10)
    assert [lease.url for lease in first.leases] == ["https://site.test/"]
    assert first.leases[0].crawl_id == crawl_id
    assert first.leases[0].attempt == 1
    assert second.leases == ()


async def test_a_host_is_handed_out_once_per_interval_over_all_crawls(store: Store) -> None:
    for _ in range(3):
        await store.create()
    first = await store.frontier.lease(Kind.STATIC, 10)
    at_once = await store.frontier.lease(Kind.STATIC, 10)
    assert len(first.leases) == 1
    assert at_once.leases == ()
    assert at_once.next_due_seconds is not None
    assert at_once.next_due_seconds <= 0.5
    await store.clock.advance(500)
    assert len((await store.frontier.lease(Kind.STATIC, 10)).leases) == 1


async def test_a_crawl_delay_from_robots_txt_is_the_interval(store: Store) -> None:
    await store.create()
    await store.create()
    async with store.database.write() as connection:
        await connection.execute(update(hosts).values(crawl_delay_ms=3_000))
    started = time.monotonic()
    assert len((await store.frontier.lease(Kind.STATIC, 10)).leases) == 1
    at_once = await store.frontier.lease(Kind.STATIC, 10)
    assert at_once.leases == ()
    assert at_once.next_due_seconds is not None
    # Rounded to milliseconds; meanwhile the clock went on.
    assert 2.99 - (time.monotonic() - started) <= at_once.next_due_seconds <= 3
    await store.clock.advance(3_000)
    assert len((await store.frontier.lease(Kind.STATIC, 10)).leases) == 1


async def test_kinds_do_not_take_each_others_urls(store: Store) -> None:
    await store.create(kind=Kind.RENDER)
    assert (await store.frontier.lease(Kind.STATIC, 10)).leases == ()
    assert len((await store.frontier.lease(Kind.RENDER, 10)).leases) == 1


async def test_many_workers_at_once_never_share_a_url_or_a_turn(store: Store) -> None:
    for number in range(8):
        await store.create(f"https://h{number}.test/")
        await store.create(f"https://h{number}.test/again/")
    rounds = await asyncio.gather(*(store.frontier.lease(Kind.STATIC, 3) for _ in range(24)))
    leases = [lease for leased in rounds for lease in leased.leases]
    assert len({lease.url_id for lease in leases}) == len(leases)
    assert sorted(lease.host for lease in leases) == [f"h{number}.test" for number in range(8)]


async def test_a_host_without_interval_is_handed_out_up_to_its_concurrency(store: Store) -> None:
    frontier = Frontier(store.database, Politeness(0, 4), lease_ms=LEASE_MS)
    free = Store(**{**vars(store), "frontier": frontier})
    crawl_id = await store.create()
    async with store.database.write() as connection:
        await connection.execute(update(hosts).values(crawl_delay_ms=0))
    (seed,) = (await frontier.lease(Kind.STATIC, 10)).leases
    await free.finisher.finish([completed(seed, *(f"https://site.test/{n}" for n in range(20)))])
    first = await frontier.lease(Kind.STATIC, 10)
    second = await frontier.lease(Kind.STATIC, 10)
    assert len(first.leases) == 4
    assert second.leases == ()
    await free.finisher.finish([completed(lease) for lease in first.leases[:2]])
    await store.clock.advance(10)
    assert len((await frontier.lease(Kind.STATIC, 10)).leases) == 2
    assert crawl_id


async def test_a_silent_worker_loses_its_lease_and_cannot_finish(store: Store) -> None:
    crawl_id = await store.create()
    lost = await store.lease_one()
    assert await store.frontier.take_over() == []
    await store.clock.advance(LEASE_MS + 6_000)
    (expired,) = await store.frontier.take_over()
    assert expired.url_id == lost.url_id
    # From now on, not from when it is queued again: who was told "still yours" would go on.
    assert await store.frontier.extend([lost]) == frozenset()
    assert await store.frontier.take_over() == []
    await store.finisher.finish([Outcome(expired, UrlStatus.QUEUED, "worker_lost")])
    taken = await store.lease_one()
    assert taken.url_id == lost.url_id
    assert taken.attempt == 2
    late = await store.finisher.finish([completed(lost, "https://site.test/late")])
    assert late.accepted == frozenset()
    assert await store.urls_with_status(crawl_id) == {"https://site.test/": UrlStatus.QUEUED}
    assert (await store.finisher.finish([completed(taken)])).ended == [crawl_id]


async def test_a_heartbeat_keeps_a_lease_and_tells_which_are_lost(store: Store) -> None:
    await store.create()
    lease = await store.lease_one()
    await store.clock.advance(LEASE_MS - 1_000)
    assert await store.frontier.extend([lease]) == {lease.url_id}
    await store.clock.advance(LEASE_MS - 1_000)
    assert await store.frontier.take_over() == []
    await store.crawls.cancel("local", lease.crawl_id)
    assert await store.frontier.extend([lease]) == frozenset()


async def test_a_released_lease_gives_its_attempt_back(store: Store) -> None:
    await store.create()
    lease = await store.lease_one()
    await store.finisher.finish([Outcome(lease, UrlStatus.QUEUED, "released", give_attempt_back=True)])
    assert (await store.lease_one()).attempt == 1


async def test_a_retry_waits_for_its_time(store: Store) -> None:
    await store.create()
    lease = await store.lease_one()
    await store.finisher.finish([Outcome(lease, UrlStatus.QUEUED, "timeout", retry_after_seconds=10)])
    await store.clock.advance(9_000)
    leased = await store.frontier.lease(Kind.STATIC, 1)
    assert leased.leases == ()
    assert leased.next_due_seconds is not None
    await store.clock.advance(1_100)
    assert len((await store.frontier.lease(Kind.STATIC, 1)).leases) == 1


async def test_a_late_turn_is_renewed_or_lost(store: Store) -> None:
    await store.create()
    await store.create()
    lease = await store.lease_one()
    # Nobody else has had the host's next turn: it is moved on.
    assert await store.frontier.renew(lease)
    assert (await store.frontier.lease(Kind.STATIC, 1)).leases == ()
    assert not await store.frontier.renew(lease)


async def test_a_turn_that_somebody_else_has_had_cannot_be_moved(store: Store) -> None:
    await store.create()
    await store.create()
    lease = await store.lease_one()
    mine = (lease.host_id, lease.next_fetch_at)
    moved = await store.hosts.hold_back({mine: 1.0})
    assert moved[mine] > lease.next_fetch_at
    # The caller knows its own change, and nobody else's.
    assert await store.hosts.hold_back({mine: 2.0}) == {}
    mine = (lease.host_id, moved[mine])
    other = await store.lease_one()
    assert await store.hosts.hold_back({mine: 3.0, (lease.host_id, other.next_fetch_at): 0.0}) == {
        (lease.host_id, other.next_fetch_at): other.next_fetch_at
    }


async def test_a_late_request_holds_the_next_one_back(store: Store) -> None:
    await store.create()
    await store.create()
    lease = await store.lease_one()
    assert await store.hosts.hold_back({(lease.host_id, None): lease.interval_ms / 1000 + 0.3})
    await store.clock.advance(lease.interval_ms + 200)
    assert (await store.frontier.lease(Kind.STATIC, 1)).leases == ()
    # Never forward.
    assert await store.hosts.hold_back({(lease.host_id, None): 0.0})
    assert (await store.frontier.lease(Kind.STATIC, 1)).leases == ()
    await store.clock.advance(200)
    assert len((await store.frontier.lease(Kind.STATIC, 1)).leases) == 1


@pytest.mark.slow
async def test_no_url_is_forgotten_between_parking_and_queueing(store: Store) -> None:
    """Leases that find hosts empty race with pages that queue links for them."""
    crawl_id = await store.create(limit=60)
    frontier = Frontier(store.database, Politeness(0, 100), lease_ms=LEASE_MS)
    seen: list[str] = []

    async def worker() -> None:
        while not (await store.crawls.view("local", crawl_id)).ended_at:
            for lease in (await frontier.lease(Kind.STATIC, 2)).leases:
                seen.append(lease.url)
                number = len(seen)
                await store.finisher.finish([completed(lease, f"https://site.test/{number}")])

    async with asyncio.timeout(60):
        await asyncio.gather(*(worker() for _ in range(4)))
    view = await store.crawls.view("local", crawl_id)
    assert view.status is CrawlStatus.COMPLETED
    assert view.completed == len(seen) == len(set(seen))


async def test_i3_a_finished_url_cannot_be_changed_even_by_a_bug(store: Store) -> None:
    await store.create()
    lease = await store.lease_one()
    await store.finisher.finish([completed(lease)])
    with pytest.raises(DBAPIError, match="terminal"):
        async with store.database.write() as connection:
            await connection.execute(update(urls).values(title="changed"))


async def test_leases_are_found_by_index_among_many_urls(store: Store) -> None:
    crawl_id = await store.create(limit=100_000)
    rows = [
        {
            "crawl_id": crawl_id, "seq": n, "rank": n, "role": "page", "url": f"https://site.test/{n}",
            "url_key": str(n), "host_id": 1, "kind": "static", "depth": 1, "status": "queued",
        }
        for n in range(10, 20_000)
    ]  # fmt: skip
    ready = select(urls.c.id).where(
        urls.c.host_id == 1, urls.c.kind == "static", urls.c.status == "queued", urls.c.not_before_at <= now()
    )
    statement = ready.order_by(urls.c.rank, urls.c.id).limit(1)
    async with store.database.write() as connection:
        await connection.execute(insert(urls), rows)
        await connection.execute(text("ANALYZE"))
        compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if store.database.is_sqlite else "EXPLAIN"
        plan = " ".join(str(row) for row in await connection.execute(text(f"{explain} {compiled}")))
    assert "ix_urls_ready" in plan
