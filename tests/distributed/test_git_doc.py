"""Real documentation, Debian's git-doc: every page that links reach is there once, in five runs out of five."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from aiohttp import web

from tests.distributed.conftest import Cluster
from tests.distributed.test_cluster import client_of, ended
from tests.engine.conftest import Engines, engines

__all__ = ["engines"]

DOCS = Path("/usr/share/doc/git/html")
RUNS = 5

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="Debian's package git-doc is not installed")


class Links(HTMLParser):
    """What a reader could click on; an oracle that shares no code with the crawler."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"a", "area", "frame", "iframe"}:
            self.found += [
                value
                for name, value in attrs
                if name == ("href" if tag in {"a", "area"} else "src") and value
            ]


def reachable(base: str) -> frozenset[str]:
    """Paths that links reach from the index, each file that exists or not."""
    found = {"/index.html"}
    waiting = ["/index.html"]
    while waiting:
        path = waiting.pop()
        file = DOCS / path.lstrip("/")
        if not file.is_file() or file.suffix != ".html":
            continue
        links = Links()
        links.feed(file.read_text(errors="replace"))
        for href in links.found:
            target = urlsplit(urldefrag(urljoin(base + path, href.strip())).url)
            if f"{target.scheme}://{target.netloc}" == base and target.path not in found:
                found.add(target.path)
                waiting.append(target.path)
    return frozenset(found)


@pytest.fixture
async def base() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_static("/", DOCS.resolve(), follow_symlinks=True)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_embedded_five_runs_find_every_page_once(base: str, engines: Engines) -> None:
    paths = await asyncio.to_thread(reachable, base)
    wanted = {base + path for path in paths}
    async with engines(egress_allow_cidrs=("127.0.0.1/32",)) as engine:
        for _ in range(RUNS):
            _, records = await engine.crawl(f"{base}/index.html", limit=1000, depth=50)
            assert {url for url, record in records.items() if record.status != "skipped"} == wanted
            for path in paths:
                file = DOCS / path.lstrip("/")
                if file.suffix == ".html" and file.is_file():
                    assert records[base + path].status == "completed"


async def test_distributed_five_runs_find_every_page_once(base: str, cluster: Cluster) -> None:
    wanted = {base + path for path in await asyncio.to_thread(reachable, base)}
    cluster.environment["CRAWL_DEFAULT_DELAY"] = "0"
    await asyncio.to_thread(cluster.start_api)
    for name in ("one", "two"):
        cluster.start(name, "worker", "--kind", "static")
    cluster.start("scheduler", "scheduler")
    async with client_of(cluster) as client:
        for _ in range(RUNS):
            crawl_id = await client.browser_rendering.crawl.create(
                account_id="local", url=f"{base}/index.html", render=False, limit=1000, depth=50
            )
            answer = await ended(client, crawl_id)
            urls = [record.url for record in answer.records if record.status != "skipped"]
            assert len(urls) == len(set(urls))
            assert set(urls) == wanted
