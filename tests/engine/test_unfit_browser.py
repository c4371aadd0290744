"""A browser that may not be used, or cannot be started for now, stops the work that needs it, costs no page an attempt,
and leaves the rest alone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import func, select

from crawler.model import CrawlStatus, Kind, UrlStatus
from crawler.store.schema import urls
from tests.disks import fill, small_disk, use_up_files
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


def is_paused(engine: Engine) -> bool:
    """Whether the metrics say that no rendered pages are begun."""
    return bool(engine.runtime.metrics.registry.get_sample_value("crawl_paused", {"kind": Kind.RENDER}))


@pytest.mark.browser
async def test_x34_pages_wait_for_room_for_a_browser(
    engines: Engines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full /tmp: no attempt is counted, fewer and fewer browsers are tried, and all goes on once there is room."""
    with small_disk(16 << 20, files=64) as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        files = use_up_files(disk)
        async with serve(lambda _: answer("<title>t</title>")) as origin:
            settings = {"egress_allowed_ports": (str(origin.port),), "browser_retry_seconds": 2}
            async with engines(**settings) as engine:
                crawl_id = await engine.start(origin.url(), render=True, limit=1, source="links")
                async with asyncio.timeout(30):
                    while caplog.text.count("no browser, tried again in 2 s") < 2 or not is_paused(engine):
                        await asyncio.sleep(0.02)
                    # The page is handed back by then, or soon after.
                    while await attempts(engine):
                        await asyncio.sleep(0.02)
                assert caplog.text.count("no browser, tried again in 1 s") == 1
                assert "No space left on device" in (await engine.runtime.ready())["browser"]
                assert [record.status for record in await engine.records(crawl_id)] == [UrlStatus.QUEUED]
                view, _ = await engine.crawl(origin.url(), limit=1, source="links")
                assert view.status is CrawlStatus.COMPLETED
                shutil.rmtree(files)
                assert (await engine.wait(crawl_id)).completed == 1
                assert await attempts(engine) == 1
                assert not is_paused(engine)
                assert (await engine.runtime.ready())["browser"] == "ok"
                # A browser that runs needs no more room.
                fill(disk)
                view, _ = await engine.crawl(origin.url("/more"), render=True, limit=1, source="links")
                assert view.completed == 1
        assert {path.name for path in disk.iterdir()} == {"filler"}
