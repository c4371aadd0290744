"""Crawling a site that changes: every page whose text has changed is found, and no other one (issue 5)."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from crawler.changes import PageChange
from crawler.model import CrawlStatus
from tests.engine.conftest import ACCOUNT, Engine, Engines
from tests.engine.mutating import MutatingSite, serve_mutating

#: Large enough for every case. `CRAWL_TEST_PAGES=2000 make test ARGS=tests/engine/test_changes.py` takes minutes.
PAGES = int(os.environ.get("CRAWL_TEST_PAGES", "200"))


async def crawl(engine: Engine, site: MutatingSite, *, incremental: bool) -> str:
    crawl_id = await engine.start(
        site.url(0),
        limit=2 * site.pages,
        source="links",
        formats=["markdown"],
        maxAge=0,
        incremental=incremental,
    )
    view = await engine.wait(crawl_id, seconds=900)
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


@pytest.mark.slow
@pytest.mark.timeout(60 + PAGES)
async def test_every_change_is_found_and_nothing_else(engines: Engines) -> None:
    async with serve_mutating(PAGES) as site, engines() as engine:
        await crawl(engine, site, incremental=False)
        first_bytes = site.sent_bytes
        for incremental in (True, False):
            before = {site.url(number) for number in site.versions}
            changed, new, removed = site.mutate()
            site.sent_bytes = Counter()
            found = await find_changes(engine, await crawl(engine, site, incremental=incremental))
            assert found == {
                PageChange.NEW: new,
                PageChange.SAME: before - changed - removed,
                PageChange.CHANGED: changed,
                PageChange.REMOVED: removed,
                PageChange.UNKNOWN: set(),
            }
            if incremental:
                unchanged = [
                    number for number in first_bytes if site.has_validator(number) and not site.edits[number]
                ]
                unchanged = [number for number in unchanged if number in site.versions]
                moved = sum(site.sent_bytes[number] for number in unchanged)
                assert len(unchanged) > PAGES / 2
                assert 0 < moved < 0.05 * sum(first_bytes[number] for number in unchanged)
