"""A browser that may not be used stops the work that needs it, costs no page an attempt, and leaves the rest alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import func, select

from crawler.model import CrawlStatus, Kind, UrlStatus
from crawler.store.schema import urls
from tests.engine.conftest import Engine, Engines
from tests.engine.origin import answer, serve


async def attempts(engine: Engine) -> int:
    """The most that any page has used up."""
    async with engine.runtime.database.read() as connection:
        return int((await connection.execute(select(func.max(urls.c.attempts)))).scalar_one())


async def test_x45_pages_wait_for_a_browser_that_may_be_used(engines: Engines, tmp_path: Path) -> None:
    async with serve(lambda _: answer("<title>t</title>")) as origin:
        settings = {"egress_allowed_ports": (str(origin.port),), "chromium": tmp_path / "none"}
        async with engines(**settings) as engine:
            crawl_id = await engine.start(origin.url(), render=True, limit=1, source="links")
            async with asyncio.timeout(20):
                # The page is handed back by the time that the work has ended, or soon after.
                while Kind.RENDER not in engine.runtime.stopped or await attempts(engine):
                    await asyncio.sleep(0.02)
            assert "CRAWL_CHROMIUM" in (await engine.runtime.ready())["browser"]
            assert [record.status for record in await engine.records(crawl_id)] == [UrlStatus.QUEUED]
            # Pages that need none are crawled all the same, and nobody has ended the others' crawl.
            view, _ = await engine.crawl(origin.url(), limit=1, source="links")
            assert view.status is CrawlStatus.COMPLETED
            assert (await engine.view(crawl_id)).status is CrawlStatus.RUNNING
