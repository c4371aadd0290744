"""A crawl of very many pages does not hold up a small one on hosts of its own."""

from __future__ import annotations

import pytest

from crawler.model import Kind, Lease
from crawler.store.frontier import Frontier, Politeness
from tests.store.conftest import LEASE_MS, Store, completed

PAGES = 10
#: A worker that takes one page at a time and needs so long for it.
PAGE_MS = 100


async def time_of_small_crawl(store: Store) -> int:
    """Start a small crawl; milliseconds until it has ended, everything that is leased meanwhile being answered."""
    links = [f"https://small.test/{number}" for number in range(1, PAGES)]
    crawl_id = await store.create("https://small.test/", limit=PAGES)
    for step in range(1, 500):
        await store.clock.advance(PAGE_MS)
        for lease in (await store.frontier.lease(Kind.STATIC, 1)).leases:
            found = links if lease.url == "https://small.test/" else []
            if crawl_id in (await store.finisher.finish([completed(lease, *found)])).ended:
                return step * PAGE_MS
    raise AssertionError("the small crawl did not end")


async def test_a_small_crawl_is_as_fast_beside_a_large_one(store: Store) -> None:
    alone_ms = await time_of_small_crawl(store)
    await store.create("https://large.test/", limit=3_000)
    await store.clock.advance(1_000)
    (seed,) = (await store.frontier.lease(Kind.STATIC, 1)).leases
    links = [f"https://large{number % 3}.test/{number}" for number in range(2_000)]
    await store.finisher.finish([completed(seed, *links)])
    beside_ms = await time_of_small_crawl(store)
    assert beside_ms <= 1.5 * alone_ms


async def lease_late(store: Store, frontier: Frontier, slots: int) -> list[Lease]:
    """What a worker that takes `slots` pages in 100 ms, and has been late for long, is handed out next."""
    await store.clock.advance(PAGE_MS)
    return list((await frontier.lease(Kind.STATIC, slots)).leases)


@pytest.mark.parametrize("slots", [1, 4])
async def test_accounts_share_workers_that_cannot_keep_up(store: Store, slots: int) -> None:
    """Two hundred hosts of one account, one of another: its page is handed out whenever its host has a turn."""
    frontier = Frontier(
        store.database,
        Politeness(500, 16),
        lease_ms=LEASE_MS,
        monotonic=lambda: store.clock.offset_ms / 1000,
    )
    await store.create("https://large.test/", limit=3_000, account="large")
    (seed,) = await lease_late(store, frontier, 1)
    links = [f"https://large{number % 200}.test/{number}" for number in range(2_000)]
    await store.finisher.finish([completed(seed, *links)])
    crawl_id = await store.create("https://small.test/", account="small")
    pages = [f"https://small.test/{number}" for number in range(5)]
    steps = 0
    while pages or steps == 0:
        steps += 1
        assert steps < 60, "one host every 0.5 s, and 10 pages before it is known that workers are late"
        for lease in await lease_late(store, frontier, slots):
            found = pages if lease.url == "https://small.test/" else []
            if lease.crawl_id == crawl_id and lease.url in pages:
                pages.remove(lease.url)
            await store.finisher.finish([completed(lease, *found)])


async def test_accounts_leave_nothing_unused(store: Store) -> None:
    """All slots are filled though one of the accounts has nothing for them."""
    frontier = Frontier(
        store.database,
        Politeness(500, 16),
        lease_ms=LEASE_MS,
        monotonic=lambda: store.clock.offset_ms / 1000,
    )
    await store.create("https://small.test/", account="small")
    for number in range(60):
        await store.create(f"https://large{number}.test/", account="large")
    await store.clock.advance(5_000)
    leased = [len(await lease_late(store, frontier, 8)) for _ in range(14)]
    assert sum(leased) == 61
