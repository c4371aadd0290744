"""Finishing: a page and its links appear together, limits are exact, sitemaps and levels come in order."""

from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace

import pytest

from crawler.errors import InvalidRequest, NotCancellable, NotFound, RateLimited
from crawler.model import CrawlStatus, Outcome, UrlStatus
from crawler.store.crawls import Quotas
from crawler.store.retention import BatchLimits, Retention
from tests.store.conftest import RETENTION_MS, Store, completed, found


async def test_a_page_and_its_links_appear_together_and_the_crawl_ends(store: Store) -> None:
    crawl_id = await store.create()
    done = await store.finisher.finish([completed(await store.lease_one(), "https://site.test/a")])
    assert done.queued
    assert done.ended == []
    done = await store.finisher.finish([completed(await store.lease_one(), "https://site.test/")])
    assert done.ended == [crawl_id]
    page = await store.records.read("local", crawl_id, cursor=0, limit=50, status=None)
    assert page.crawl.status is CrawlStatus.COMPLETED
    assert [record.html for record in page.records] == [
        "<html>https://site.test/</html>",
        "<html>https://site.test/a</html>",
    ]


async def test_finishing_twice_changes_nothing(store: Store) -> None:
    await store.create()
    outcome = completed(await store.lease_one(), "https://site.test/a")
    assert (await store.finisher.finish([outcome])).accepted
    again = await store.finisher.finish([outcome])
    assert again.accepted == frozenset()


async def test_the_limit_is_exact_when_pages_finish_at_once(store: Store) -> None:
    crawl_id = await store.create(limit=12)
    links = [f"https://h{n}.test/" for n in range(6)]
    await store.finisher.finish([completed(await store.lease_one(), *links)])
    leases = [await store.lease_one() for _ in range(6)]
    await asyncio.gather(
        *(
            store.finisher.finish([completed(lease, *(f"{lease.url}{n}" for n in range(10)))])
            for lease in leases
        )
    )
    view = await store.crawls.view("local", crawl_id)
    assert view.total == 12
    assert view.queued == 5


async def test_f42_limit_one_is_the_start_url_only(store: Store) -> None:
    crawl_id = await store.create(limit=1, sitemaps=True)
    discovery = await store.lease_one()
    await store.finisher.finish(
        [Outcome(discovery, UrlStatus.COMPLETED, sitemaps=(found("https://site.test/sitemap.xml"),))]
    )
    seed = await store.lease_one()
    done = await store.finisher.finish([completed(seed, "https://site.test/a")])
    assert done.ended == [crawl_id]
    assert await store.urls_with_status(crawl_id) == {"https://site.test/": UrlStatus.COMPLETED}


async def test_skipped_links_are_recorded_but_do_not_count(store: Store) -> None:
    crawl_id = await store.create(limit=2)
    lease = await store.lease_one()
    links = (
        found("https://other.test/", "external"),
        found("https://site.test/a"),
        found("https://site.test/b"),
    )
    await store.finisher.finish([Outcome(lease, UrlStatus.COMPLETED, http_status=200, found=links)])
    view = await store.crawls.view("local", crawl_id)
    assert (view.total, view.skipped) == (2, 1)
    assert await store.urls_with_status(crawl_id) == {
        "https://site.test/": UrlStatus.COMPLETED,
        "https://other.test/": UrlStatus.SKIPPED,
        "https://site.test/a": UrlStatus.QUEUED,
    }


async def test_f47_sitemap_urls_come_before_links_although_crawling_has_started(store: Store) -> None:
    crawl_id = await store.create(sitemaps=True)
    discovery = await store.lease_one()
    assert discovery.role == "discovery"
    sitemap = (found("https://site.test/sitemap.xml"),)
    await store.finisher.finish([Outcome(discovery, UrlStatus.COMPLETED, sitemaps=sitemap)])
    seed = await store.lease_one()
    await store.finisher.finish([completed(seed, "https://site.test/link", "https://site.test/listed")])
    reading = await store.lease_one()
    assert reading.role == "sitemap"
    listed = (found("https://site.test/listed"), found("https://site.test/listed2"))
    await store.finisher.finish([Outcome(reading, UrlStatus.COMPLETED, found=listed)])
    assert list(await store.urls_with_status(crawl_id)) == [
        "https://site.test/",
        "https://site.test/listed",
        "https://site.test/listed2",
        "https://site.test/link",
    ]


async def test_pages_are_crawled_between_many_sitemaps(store: Store) -> None:
    await store.create(sitemaps=True)
    discovery = await store.lease_one()
    named = tuple(found(f"https://site.test/s{n}.xml") for n in range(6))
    await store.finisher.finish([Outcome(discovery, UrlStatus.COMPLETED, sitemaps=named)])
    roles = []
    for _ in range(12):
        lease = await store.lease_one()
        roles.append(str(lease.role))
        pages = tuple(found(f"{lease.url}/{n}") for n in range(5)) if lease.role == "sitemap" else ()
        await store.finisher.finish([Outcome(lease, UrlStatus.COMPLETED, http_status=200, found=pages)])
    assert roles[:2] == ["page", "sitemap"]
    assert "page" in roles[2:6]
    assert roles.count("sitemap") >= 3


async def test_d10_depth_is_exact_when_a_deeper_way_is_found_first(store: Store) -> None:
    """/x is linked from the slow /b (level 1) and from /a/a (level 2): its level is 2, so its links count."""
    crawl_id = await store.create(depth=3)
    site = "https://site.test"
    await store.finisher.finish([completed(await store.lease_one(), f"{site}/a", f"{site}/b")])
    page_a, slow_b = await store.lease_one(), await store.lease_one()
    await store.finisher.finish([completed(page_a, f"{site}/a/a")])
    deeper = await store.lease_one()
    assert deeper.depth == 2
    await store.finisher.finish([completed(deeper, f"{site}/x")])
    assert f"{site}/x" not in await store.urls_with_status(crawl_id)
    await store.finisher.finish([completed(slow_b, f"{site}/x")])
    page_x = await store.lease_one()
    assert (page_x.url, page_x.depth) == (f"{site}/x", 2)
    await store.finisher.finish([completed(page_x, f"{site}/x/last")])
    last = await store.lease_one()
    assert last.depth == 3
    done = await store.finisher.finish([completed(last, f"{site}/too-deep")])
    assert done.ended == [crawl_id]


async def test_one_page_for_many_fragments_and_duplicates(store: Store) -> None:
    crawl_id = await store.create()
    seed = await store.lease_one()
    await store.finisher.finish([completed(seed, *["https://site.test/a"] * 500, "https://site.test/")])
    assert len(await store.urls_with_status(crawl_id)) == 2


async def test_cancel_ends_everything_at_once(store: Store) -> None:
    crawl_id = await store.create()
    seed = await store.lease_one()
    await store.finisher.finish([completed(seed, "https://site.test/a", "https://site.test/b")])
    in_flight = await store.lease_one()
    await store.crawls.cancel("local", crawl_id)
    late = await store.finisher.finish([completed(in_flight, "https://site.test/c")])
    assert late.accepted == frozenset()
    view = await store.crawls.view("local", crawl_id)
    assert view.status is CrawlStatus.CANCELLED_BY_USER
    assert (view.completed, view.cancelled, view.queued) == (1, 2, 0)
    with pytest.raises(NotCancellable):
        await store.crawls.cancel("local", crawl_id)


async def test_c30_of_twenty_cancels_exactly_one_wins(store: Store) -> None:
    crawl_id = await store.create()
    results = await asyncio.gather(
        *(store.crawls.cancel("local", crawl_id) for _ in range(20)), return_exceptions=True
    )
    assert results.count(None) == 1
    assert sum(isinstance(result, NotCancellable) for result in results) == 19


async def test_c26_another_accounts_crawl_does_not_exist(store: Store) -> None:
    crawl_id = await store.create(account="one")
    for call in (store.crawls.view, store.crawls.cancel):
        with pytest.raises(NotFound):
            await call("two", crawl_id)
    with pytest.raises(NotFound):
        await store.records.read("two", crawl_id, cursor=0, limit=1, status=None)


async def test_c31_one_idempotency_key_makes_one_crawl(store: Store) -> None:
    ids = await asyncio.gather(*(store.create(key="k") for _ in range(20)))
    assert len(set(ids)) == 1
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        await store.create(key="k", request_hash="another")
    assert await store.create(is_retry=True) == ids[0]
    assert await store.create() != ids[0]


async def test_quotas_hold_against_parallel_posts(store: Store) -> None:
    results = await asyncio.gather(
        *(store.create(quotas=Quotas(max_running=3)) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, str) for result in results) == 3
    with pytest.raises(RateLimited):
        await store.create(quotas=Quotas(max_daily=3))


async def test_f53_results_are_gone_after_their_retention(store: Store) -> None:
    crawl_id = await store.create()
    await store.finisher.finish([completed(await store.lease_one())])
    retention = Retention(store.database, BatchLimits())
    assert (await retention.delete_expired(budget_seconds=0)).rows == 0
    await store.clock.advance(RETENTION_MS + 1)
    with pytest.raises(NotFound):
        await store.crawls.view("local", crawl_id)
    assert (await retention.delete_expired(budget_seconds=0)).rows == 5, "a crawl, its page, three events"
    assert (await retention.delete_expired(budget_seconds=0)).rows == 0


async def test_f53_a_crawl_past_its_deadline_is_overdue(store: Store) -> None:
    crawl_id = await store.create()
    assert await store.crawls.overdue() == []
    await store.clock.advance(7 * 86_400_000 + 1)
    assert await store.crawls.overdue() == [crawl_id]
    assert await store.crawls.end(crawl_id, CrawlStatus.CANCELLED_DUE_TO_TIMEOUT)
    assert not await store.crawls.end(crawl_id, CrawlStatus.COMPLETED)


async def test_f36_pages_of_records_are_stable_while_the_crawl_runs(store: Store) -> None:
    crawl_id = await store.create()
    links = [f"https://site.test/{n}" for n in range(30)]
    await store.finisher.finish([completed(await store.lease_one(), *links)])
    seen: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page = await store.records.read("local", crawl_id, cursor=cursor, limit=7, status=None)
        seen += [record.url for record in page.records]
        cursor = page.next_cursor
        if cursor is not None:
            await store.finisher.finish([completed(await store.lease_one(), f"https://site.test/x{cursor}")])
    assert len(seen) == len(set(seen))
    assert seen[:31] == ["https://site.test/", *links]


async def test_c29_huge_records_are_read_a_page_at_a_time(store: Store) -> None:
    crawl_id = await store.create(limit=40)
    links = [f"https://h{n}.test/" for n in range(29)]
    await store.finisher.finish([completed(await store.lease_one(), *links)])
    for _ in links:
        lease = await store.lease_one()
        await store.finisher.finish([replace(completed(lease), html="<p>" * (5 << 20 >> 2))])
    tracemalloc.start()
    page = await store.records.read("local", crawl_id, cursor=0, limit=50, status=None)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 1 < len(page.records) < 4
    assert sum(len(record.html or "") for record in page.records) <= 10_000_000
    assert page.next_cursor is not None
    assert peak_bytes < 64 << 20
