"""Sitemaps at the limit: not read while there is no room, read when a page gives its place back, dropped at the end."""

from __future__ import annotations

from sqlalchemy import select

from crawler.model import CrawlStatus, Kind, Lease, Outcome, Role, UrlStatus
from crawler.store.admission import Admission
from crawler.store.continuations import Continuations
from crawler.store.crawls import Quotas
from crawler.store.schema import urls
from crawler.store.secrets import KeyRing, Secrets
from tests.store.conftest import HELD_PAGES, Store, completed, found

SITE = "https://site.test/"
#: A host whose URLs all have to wait is looked at again within this time.
RESTS_MS = 2_000
#: The sitemaps of the site, and what they list.
SITEMAPS = {SITE + "1.xml": ("a", "b", "c"), SITE + "2.xml": ("d", "e")}


async def read_sitemap(store: Store, url: str) -> None:
    await store.clock.advance(RESTS_MS)
    lease = await store.lease_one()
    assert lease.url == url
    listed = tuple(found(SITE + name) for name in SITEMAPS[url])
    await store.finisher.finish([Outcome(lease, UrlStatus.COMPLETED, found=listed)])


async def fill(store: Store, *links: str, limit: int = 4, depth: int = 100_000) -> str:
    """A crawl that its first sitemap has filled; its start with these links is done, "a" and the rest are queued."""
    crawl_id = await store.create(SITE, limit=limit, depth=depth, sitemaps=True)
    named = tuple(found(url) for url in SITEMAPS)
    await store.finisher.finish([Outcome(await store.lease_one(), UrlStatus.COMPLETED, sitemaps=named)])
    await store.finisher.finish([completed(await store.lease_one(), *(SITE + link for link in links))])
    await read_sitemap(store, SITE + "1.xml")
    assert (await store.crawls.view("local", crawl_id)).total == limit
    return crawl_id


async def leave_out(store: Store, *leases: Lease) -> None:
    await store.finisher.finish([Outcome(lease, UrlStatus.SKIPPED, "not_modified") for lease in leases])


async def sitemaps_of(store: Store, crawl_id: str) -> dict[str, tuple[str, int]]:
    """Status and attempts of the sitemaps."""
    statement = select(urls).where(urls.c.crawl_id == crawl_id, urls.c.role == Role.SITEMAP)
    async with store.database.read() as connection:
        return {row.url: (row.status, row.attempts) for row in await connection.execute(statement)}


async def lease_all(store: Store) -> list[Lease]:
    """What may be leased, until there is nothing."""
    leases: list[Lease] = []
    while True:
        await store.clock.advance(RESTS_MS)
        found_now = (await store.frontier.lease(Kind.STATIC, 1)).leases
        if not found_now:
            return leases
        leases += found_now


async def test_a_place_that_is_given_back_is_filled_from_the_next_sitemap(store: Store) -> None:
    crawl_id = await fill(store)
    await leave_out(store, *await lease_all(store))
    await read_sitemap(store, SITE + "2.xml")
    for _ in range(2):
        await store.finisher.finish([completed(await store.lease_one())])
    view = await store.crawls.view("local", crawl_id)
    assert (view.status, view.completed, view.skipped) == (CrawlStatus.COMPLETED, 3, 3)


async def test_a_sitemap_is_read_as_soon_as_there_is_room_and_the_others_wait_again(store: Store) -> None:
    crawl_id = await fill(store)
    a, b, c = await lease_all(store)
    await leave_out(store, a)
    await read_sitemap(store, SITE + "2.xml")
    assert (await store.crawls.view("local", crawl_id)).total == 4
    # "e" was beyond the limit, and comes without another request.
    assert SITE + "e" not in await store.urls_with_status(crawl_id)
    await leave_out(store, b, c)
    assert (await store.urls_with_status(crawl_id))[SITE + "e"] == UrlStatus.QUEUED


async def test_no_sitemap_is_read_without_room_and_the_crawl_ends_with_its_pages(store: Store) -> None:
    crawl_id = await fill(store)
    leases = await lease_all(store)
    assert [lease.url for lease in leases] == [SITE + "a", SITE + "b", SITE + "c"]
    assert (await sitemaps_of(store, crawl_id))[SITE + "2.xml"] == (UrlStatus.QUEUED, 0)
    done = await store.finisher.finish([completed(lease) for lease in leases])
    assert done.ended == [crawl_id]
    assert (await sitemaps_of(store, crawl_id))[SITE + "2.xml"] == (UrlStatus.CANCELLED, 0)


async def test_links_that_are_known_fill_a_place_before_a_sitemap_is_read(store: Store) -> None:
    crawl_id = await fill(store, "link")
    await leave_out(store, await store.lease_one())
    leases = await lease_all(store)
    assert [lease.url for lease in leases] == [SITE + "b", SITE + "c", SITE + "link"]
    await store.finisher.finish([completed(lease) for lease in leases])
    assert (await sitemaps_of(store, crawl_id))[SITE + "2.xml"] == (UrlStatus.CANCELLED, 0)


async def test_a_sitemap_in_flight_at_the_limit_waits_when_it_is_handed_back_and_so_do_those_it_names(
    store: Store,
) -> None:
    crawl_id = await store.create(SITE, limit=2, sitemaps=True)
    named = tuple(found(url) for url in SITEMAPS)
    await store.finisher.finish([Outcome(await store.lease_one(), UrlStatus.COMPLETED, sitemaps=named)])
    seed, first, second = [await store.lease_one() for _ in range(3)]
    listed = (found(SITE + "a"),)
    await store.finisher.finish([Outcome(first, UrlStatus.COMPLETED, found=listed)])
    again = Outcome(second, UrlStatus.QUEUED, "http_error", retry_after_seconds=60)
    await store.finisher.finish([again])
    page = await store.lease_one()
    assert page.url == SITE + "a"
    assert await lease_all(store) == []
    await leave_out(store, page)
    assert await lease_all(store) == []
    await store.clock.advance(60_000)
    second = await store.lease_one()
    assert second.url == SITE + "2.xml"
    inner = (found(SITE + "inner.xml"),)
    listed = (found(SITE + "b"),)
    await store.finisher.finish([Outcome(second, UrlStatus.COMPLETED, found=listed, sitemaps=inner)])
    assert [lease.url for lease in await lease_all(store)] == [SITE + "b"]
    assert (await sitemaps_of(store, crawl_id))[SITE + "inner.xml"] == (UrlStatus.QUEUED, 0)
    assert seed.url == SITE


async def test_sitemaps_of_a_crawl_that_goes_on_without_room_wait(store: Store) -> None:
    parent = await fill(store)
    await store.crawls.cancel("local", parent)
    admission = Admission(store.database, max_sitemaps=50, max_held_pages=HELD_PAGES)
    children = Continuations(store.database, store.crawls, Secrets(store.database, KeyRing([])), admission)
    child, _ = await children.go_on("local", parent, 4, Quotas(), idempotency_key=None)
    leases = await lease_all(store)
    assert [lease.url for lease in leases] == [SITE + "a", SITE + "b", SITE + "c"]
    assert (await sitemaps_of(store, child))[SITE + "2.xml"] == (UrlStatus.QUEUED, 0)


async def test_pages_of_a_sitemap_that_were_beyond_the_limit_are_on_the_first_level(store: Store) -> None:
    await fill(store, limit=3, depth=1)
    await leave_out(store, await store.lease_one())
    leases = await lease_all(store)
    assert [(lease.url, lease.depth) for lease in leases] == [(SITE + "b", 1), (SITE + "c", 1)]
