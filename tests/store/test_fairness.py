"""A crawl of very many pages does not hold up a small one on hosts of its own."""

from __future__ import annotations

from crawler.model import Kind
from tests.store.conftest import Store, completed

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
