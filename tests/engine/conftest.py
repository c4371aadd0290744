"""The whole engine in one process, against real origins on loopback."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crawler.model import CrawlStatus, CrawlView, Record
from crawler.options import parse_options
from crawler.runtime import Runtime
from crawler.settings import Settings
from crawler.store.database import wall_clock_ms

ACCOUNT = "local"


@dataclass
class Engine:
    """A runtime at work, and the few things that a test does with it."""

    runtime: Runtime

    async def start(self, url: str, **fields: object) -> str:
        options = parse_options({"url": url, "render": False, **fields}, now=datetime.now(UTC))
        return await self.runtime.service.create(ACCOUNT, options)

    async def view(self, crawl_id: str) -> CrawlView:
        return (await self.runtime.service.read(ACCOUNT, crawl_id, limit=0)).crawl

    async def wait(
        self, crawl_id: str, until: Callable[[CrawlView], bool] | None = None, seconds: float = 60
    ) -> CrawlView:
        """Poll until the crawl has ended, or `until` holds."""
        async with asyncio.timeout(seconds):
            while True:
                view = await self.view(crawl_id)
                if until(view) if until is not None else view.status is not CrawlStatus.RUNNING:
                    return view
                await asyncio.sleep(0.05)

    async def records(self, crawl_id: str) -> list[Record]:
        records: list[Record] = []
        cursor: int | None = 0
        while cursor is not None:
            page = await self.runtime.service.read(ACCOUNT, crawl_id, cursor=cursor, limit=1000)
            records += page.records
            cursor = page.next_cursor
        return records

    async def crawl(self, url: str, **fields: object) -> tuple[CrawlView, Mapping[str, Record]]:
        """Crawl to the end. Records by URL, in discovery order; none may occur twice."""
        crawl_id = await self.start(url, **fields)
        view = await self.wait(crawl_id)
        records = await self.records(crawl_id)
        by_url = {record.url: record for record in records}
        assert len(by_url) == len(records)
        return view, by_url


Engines = Callable[..., AbstractAsyncContextManager[Engine]]


@pytest.fixture
def engines(tmp_path: Path, migrated_file: Path) -> Engines:
    """`async with engines(**settings) as engine`: embedded on SQLite, unless the settings say otherwise."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copyfile(migrated_file, data / "crawl.db")

    @asynccontextmanager
    async def open_engine(
        *, clock_ms: Callable[[], int] = wall_clock_ms, **settings: object
    ) -> AsyncIterator[Engine]:
        values: dict[str, object] = {
            "data_dir": data,
            "default_delay": 0.0,
            "egress_allow_cidrs": ("127.0.0.1/32",),
            "tick_seconds": 0.2,
            "allow_unsandboxed": True,
            **settings,
        }
        async with Runtime(Settings(**values), clock_ms=clock_ms) as runtime:  # type: ignore[arg-type]
            stop = asyncio.Event()
            work = asyncio.create_task(runtime.work(stop))
            try:
                yield Engine(runtime)
            finally:
                stop.set()
                await work

    return open_engine
