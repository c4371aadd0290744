"""Other people's sites are not hurt by many crawls, or by one that has no end (security G1, G5)."""

from __future__ import annotations

from sqlalchemy import func, select

from crawler.model import CrawlStatus, Kind
from crawler.store.schema import held_links, urls
from tests.store.conftest import Store, completed

LIMIT = 40


async def test_g1_fifty_crawls_of_five_accounts_share_one_hosts_interval(store: Store) -> None:
    for number in range(50):
        kind = Kind.RENDER if number % 2 else Kind.STATIC
        await store.create(f"https://site.test/{number}", account=f"account-{number % 5}", kind=kind)
    turns = 12
    handed_out = 0
    for _ in range(turns):
        for kind in (Kind.RENDER, Kind.STATIC):
            handed_out += len((await store.frontier.lease(kind, 20)).leases)
        await store.clock.advance(500)
    assert 1 < handed_out <= turns


async def test_g5_links_without_end_stop_at_the_limit(store: Store) -> None:
    crawl_id = await store.create(limit=LIMIT)
    pages = 0
    while (await store.crawls.view("local", crawl_id)).status is CrawlStatus.RUNNING:
        lease = await store.lease_one()
        pages += 1
        await store.finisher.finish([completed(lease, *(f"{lease.url}{pages}-{n}/" for n in range(100)))])
    assert pages == LIMIT
    async with store.database.read() as connection:
        rows = (await connection.execute(select(func.count()).select_from(urls))).scalar_one()
        held = (await connection.execute(select(func.count()).select_from(held_links))).scalar_one()
    assert rows + held <= 4 * LIMIT
