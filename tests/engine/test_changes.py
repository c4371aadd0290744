"""Crawling a site that changes: every page whose text has changed is found, and no other one, and what has not changed
costs next to nothing (issue 5)."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from sqlalchemy import text

from crawler.changes import PageChange
from crawler.model import CrawlStatus
from tests.engine.conftest import ACCOUNT, Engine, Engines
from tests.engine.mutating import MutatingSite, serve_mutating

PAGES = int(os.environ.get("CRAWL_TEST_PAGES", "2000"))
#: Large enough for every case: two change, one comes, one goes. `CRAWL_TEST_RENDERED_PAGES=2000` takes minutes.
RENDERED_PAGES = int(os.environ.get("CRAWL_TEST_RENDERED_PAGES", "100"))

#: URLs of changed, new and removed pages.
Mutation = tuple[set[str], set[str], set[str]]
NO_MUTATION: Mutation = (set(), set(), set())


async def crawl(engine: Engine, site: MutatingSite, **fields: object) -> str:
    """Crawl the whole site to its end; what it sends is counted anew. Returns the crawl's id."""
    site.sent_bytes = Counter()
    site.views = Counter()
    crawl_id = await engine.start(
        site.url(0), limit=2 * site.pages, source="links", formats=["markdown"], maxAge=0, **fields
    )
    view = await engine.wait(crawl_id, seconds=3_600)
    assert (view.status, view.errored) == (CrawlStatus.COMPLETED, 0)
    return crawl_id


async def find_changes(engine: Engine, crawl_id: str) -> dict[PageChange, set[str]]:
    found: dict[PageChange, set[str]] = {change: set() for change in PageChange}
    cursor: int | None = 0
    while cursor is not None:
        part = await engine.runtime.runs.compare(ACCOUNT, crawl_id, cursor=cursor, limit=1000)
        for page in part.pages:
            assert page.url not in found[page.change]
            found[page.change].add(page.url)
        if part.counts is not None:
            counts = part.counts
        cursor = part.next_cursor
    assert {change: len(urls) for change, urls in found.items()} == counts
    return found


def every_page(site: MutatingSite) -> set[str]:
    return {site.url(number) for number in site.versions}


async def crawl_and_compare(
    engine: Engine,
    site: MutatingSite,
    before: set[str],
    mutation: Mutation = NO_MUTATION,
    /,
    **fields: object,
) -> str:
    """Crawl, and hold what is told against what is known: the pages `before`, and what has become of them. Returns the
    crawl's id."""
    changed, new, removed = mutation
    crawl_id = await crawl(engine, site, **fields)
    assert await find_changes(engine, crawl_id) == {
        PageChange.NEW: new,
        PageChange.SAME: before - changed - removed,
        PageChange.CHANGED: changed,
        PageChange.REMOVED: removed,
        PageChange.UNKNOWN: set(),
    }
    return crawl_id


async def mutate_and_compare(engine: Engine, site: MutatingSite, **fields: object) -> None:
    before = every_page(site)
    mutation = site.mutate()
    per_cent = site.pages // 100
    assert [len(urls) for urls in mutation] == [2 * per_cent, per_cent, per_cent]
    await crawl_and_compare(engine, site, before, mutation, **fields)


def validated_bytes(site: MutatingSite) -> int:
    """What the site has sent of pages with a validator."""
    return sum(size for number, size in site.sent_bytes.items() if site.has_validator(number))


async def browser_ms(engine: Engine, site: MutatingSite, crawl_id: str) -> int:
    """Time in the browser of pages with a validator."""
    validated = {site.url(number) for number in site.versions if site.has_validator(number)}
    async with engine.runtime.database.read() as connection:
        query = text("SELECT url, browser_ms FROM urls WHERE crawl_id = :id AND role = 'page'")
        rows = (await connection.execute(query, {"id": crawl_id})).all()
    assert {row.url for row in rows} == every_page(site)
    return sum(row.browser_ms for row in rows if row.url in validated)


@pytest.mark.timeout(120 + PAGES / 4)
async def test_every_change_is_found_and_nothing_else(engines: Engines) -> None:
    async with serve_mutating(PAGES) as site, engines() as engine:
        await crawl(engine, site)
        first_bytes = validated_bytes(site)
        await crawl_and_compare(engine, site, every_page(site), incremental=True)
        assert sum(map(site.has_validator, site.sent_bytes)) > PAGES / 2
        assert 0 < validated_bytes(site) < 0.05 * first_bytes
        await mutate_and_compare(engine, site, incremental=True)
        await mutate_and_compare(engine, site)


@pytest.mark.browser
@pytest.mark.timeout(120 + 2 * RENDERED_PAGES)
async def test_rendered_pages_that_have_not_changed_take_no_time_of_the_browser(engines: Engines) -> None:
    fields: dict[str, object] = {"render": True, "incremental": True}
    async with serve_mutating(RENDERED_PAGES, is_scripted=True) as site, engines() as engine:
        first = await crawl(engine, site, **fields)
        first_bytes, first_ms = validated_bytes(site), await browser_ms(engine, site, first)
        again = await crawl_and_compare(engine, site, every_page(site), **fields)
        assert 0 < validated_bytes(site) < 0.05 * first_bytes
        assert await browser_ms(engine, site, again) < 0.05 * first_ms
        # Pages that were not rendered, and no other ones, have been asked for by the browser alone.
        assert set(site.views) == {n for n in site.versions if not site.has_validator(n)}
        await mutate_and_compare(engine, site, **fields)
