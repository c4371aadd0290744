"""One engine, and per file of rows one crawl in each mode; the tests look at what became of each row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from crawler.fetch.chromium import find_chromium
from crawler.model import CrawlView, Record
from crawler.runtime import Runtime
from crawler.settings import Settings
from tests.engine.conftest import Engine, engines
from tests.fetch.origins import PUBLIC, PUBLIC_TOO, Canary, Origin, canary_on_private, origin
from tests.origins.site import Site

__all__ = ["engines"]

#: For what there is only in a browser.
RENDERED_ONLY = pytest.mark.parametrize(
    "render", [pytest.param(True, marks=pytest.mark.browser)], indirect=True, ids=["rendered"]
)
EXCLUDED = {"excludePatterns": ["**/excluded/**"]}
NAMES = (
    *(f"{name}site.test={PUBLIC}" for name in ("", "sub.", "evil", "x.h0.", *(f"h{n}." for n in range(40)))),
    f"other.test={PUBLIC_TOO}",
)


@dataclass(frozen=True)
class World:
    """The origins, and an engine that crawls them statically or in the browser."""

    engine: Engine
    site: Origin
    other: Origin
    canary: Canary

    def url(self, path: str, host: str = "site.test") -> str:
        return self.site.url(path, host=host)

    async def crawl(
        self, path: str, host: str = "site.test", /, *, render: bool, **fields: object
    ) -> tuple[CrawlView, Mapping[str, Record]]:
        """Records by path, or by the whole URL where it is another host's. No copies of earlier crawls are used."""
        view, records = await self.engine.crawl(
            self.url(path, host), **{"render": render, "maxAge": 0, **fields}
        )
        return view, {url.removeprefix(self.url("", host)): record for url, record in records.items()}


@dataclass(frozen=True)
class Found:
    """What one crawl of the rows has found."""

    world: World
    render: bool
    view: CrawlView
    records: Mapping[str, Record]
    #: Paths that each origin was asked for during this crawl.
    asked: tuple[str, ...]
    other_asked: tuple[str, ...]

    def __getitem__(self, path: str) -> Record:
        return self.records[path]


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One engine for all rows, impatient so that what never answers ends soon."""
    folder: Path = tmp_path_factory.mktemp("origins")
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(origin(PUBLIC))
        other = await stack.enter_async_context(origin(PUBLIC_TOO))
        canary = await stack.enter_async_context(canary_on_private())
        settings = Settings.load(
            data_dir=folder,
            default_delay=0.0,
            egress_allow_cidrs=(PUBLIC, PUBLIC_TOO),
            egress_hosts=NAMES,
            tick_seconds=0.2,
            allow_unsandboxed=True,
            max_attempts=1,
            connect_timeout_seconds=2.0,
            first_byte_timeout_seconds=5.0,
            fetch_timeout_seconds=5.0,
            render_timeout_seconds=30.0,
            max_document_bytes=1 << 20,
            max_links_per_page=200,
        )
        runtime = await stack.enter_async_context(Runtime(settings))
        stop = asyncio.Event()
        work = asyncio.create_task(runtime.work(stop))
        yield World(Engine(runtime), site, other, canary)
        stop.set()
        await work


@pytest.fixture(
    scope="session", params=[False, pytest.param(True, marks=pytest.mark.browser)], ids=["static", "rendered"]
)
def render(request: pytest.FixtureRequest) -> bool:
    """Whether the browser is used."""
    if request.param and find_chromium(Settings.load()) is None:
        pytest.skip("no Chromium is installed")
    return bool(request.param)


@pytest.fixture(scope="module")
async def found(world: World, render: bool, request: pytest.FixtureRequest) -> Found:
    """The crawl of the rows of this file, `SITE`."""
    site: Site = request.module.SITE
    site.lay_out(world.site, world.other, world.canary.port)
    limit = len(site.rows) + 150
    view, records = await world.crawl(
        "/", render=render, limit=limit, formats=["html", "markdown"], options=EXCLUDED
    )
    return Found(world, render, view, records, tuple(world.site.paths), tuple(world.other.paths))
