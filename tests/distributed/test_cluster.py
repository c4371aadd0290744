"""API, workers and scheduler as separate processes over Postgres and Redis, driven by Cloudflare's own SDK."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import cloudflare
import httpx
import psutil
import pytest

from crawler.fetch.processes import runs
from tests.distributed.conftest import TOKEN, Cluster, wait_until
from tests.servers import Server
from tests.site import expected
from tests.site.server import Site


def client_of(cluster: Cluster) -> cloudflare.AsyncCloudflare:
    return cloudflare.AsyncCloudflare(api_token=TOKEN, base_url=cluster.base_url, max_retries=0)


async def ended(client: cloudflare.AsyncCloudflare, crawl_id: str, seconds: float = 90) -> Any:
    async with asyncio.timeout(seconds):
        while True:
            answer = await client.browser_rendering.crawl.get(crawl_id, account_id="local", limit=1000)
            if answer.status != "running":
                return answer
            await asyncio.sleep(0.1)


async def test_the_sdk_crawls_pages_and_cancels_through_the_cluster(cluster: Cluster, site: Site) -> None:
    await asyncio.to_thread(cluster.start_api)
    cluster.start("static", "worker", "--kind", "static")
    cluster.start("static2", "worker", "--kind", "static")
    cluster.start("scheduler", "scheduler")
    async with client_of(cluster) as client:
        crawls = client.browser_rendering.crawl
        crawl_id = await crawls.create(
            account_id="local", url=site.url, render=False, limit=1000, depth=4, options={"include_subdomains": True},
            formats=["markdown"],
        )  # fmt: skip
        answer = await ended(client, crawl_id)
        assert answer.status == "completed"
        urls: list[str] = []
        cursor: Any = None
        while True:
            page = await crawls.get(
                crawl_id, account_id="local", limit=7, **({} if cursor is None else {"cursor": cursor})
            )
            urls += [record.url for record in page.records if record.status != "skipped"]
            cursor = page.cursor
            if cursor is None:
                break
        assert len(urls) == len(set(urls)) == answer.total
        found = {site.plain(url) for url in urls if "/calendar/" not in url}
        wanted = expected.linked(rendered=False) | {page.url for page in expected.PAGES if page.in_sitemap}
        assert found == {url for url in wanted if "/calendar/" not in url} | expected.DISALLOWED
        endless = await crawls.create(account_id="local", url=site.url, render=False, limit=100_000)
        await asyncio.sleep(0)
        gone = await crawls.delete(endless, account_id="local")
        assert gone.job_id == endless
        assert (await crawls.get(endless, account_id="local")).status == "cancelled_by_user"
        with pytest.raises(cloudflare.BadRequestError):
            await crawls.delete(endless, account_id="local")


@pytest.mark.browser
async def test_rendering_in_a_worker_leaves_no_process_behind(cluster: Cluster, site: Site) -> None:
    await asyncio.to_thread(cluster.start_api)
    worker = cluster.start("render", "worker", "--kind", "render")
    async with client_of(cluster) as client:
        crawl_id = await client.browser_rendering.crawl.create(
            account_id="local", url=site.live("http://site.test/news/"), limit=5, formats=["markdown"]
        )
        answer = await ended(client, crawl_id)
    news = {site.plain(record.url): record for record in answer.records}["http://site.test/news/"]
    assert expected.RENDERED_TEXT["http://site.test/news/"] in news.markdown
    assert answer.browser_seconds_used > 0
    below = psutil.Process(worker.pid).children(recursive=True)
    assert set(below_browser(worker.pid)) <= set(below)
    assert await asyncio.to_thread(cluster.stop, "render") < 30
    await asyncio.to_thread(wait_until, lambda: dead(below), "browser gone", 15)


@pytest.mark.browser
@pytest.mark.parametrize("who", ["child", "parent"])
async def test_i9_a_killed_worker_takes_its_browser_and_driver_along(
    cluster: Cluster, site: Site, who: str
) -> None:
    """The kernel's OOM killer takes one process: the one that renders, or the one that started it."""
    await asyncio.to_thread(cluster.start_api)
    worker = cluster.start("render", "worker", "--kind", "render", "--processes", "1")
    async with client_of(cluster) as client:
        url = site.live("http://site.test/news/")
        await ended(client, await client.browser_rendering.crawl.create(account_id="local", url=url, limit=1))
    below = below_browser(worker.pid)
    victim = below[0].parent() if who == "child" else psutil.Process(worker.pid)
    assert victim is not None
    victim.kill()
    await asyncio.to_thread(wait_until, lambda: dead(below), "browser and driver gone", 15)


async def test_x45_a_worker_whose_browser_may_not_be_used_stops(cluster: Cluster, site: Site) -> None:
    cluster.environment["CRAWL_CHROMIUM"] = str(cluster.folder / "none")
    await asyncio.to_thread(cluster.start_api)
    worker = cluster.start("render", "worker", "--kind", "render")
    async with client_of(cluster) as client:
        crawl_id = await client.browser_rendering.crawl.create(account_id="local", url=site.url, limit=1)
        await asyncio.to_thread(worker.wait, 60)
        answer = await client.browser_rendering.crawl.get(crawl_id, account_id="local")
    assert answer.status == "running"
    assert answer.finished == 0
    assert "cannot do its work" in cluster.log_of("render")
    del cluster.processes["render"]


def below_browser(pid: int) -> list[psutil.Process]:
    """The driver that a worker process has started, its browser, and what that has started."""
    for process in psutil.Process(pid).children(recursive=True):
        if process.name().startswith("node"):
            below = [process, *process.children(recursive=True)]
            assert any("chrom" in one.name() for one in below)
            return below
    raise AssertionError("there is no driver")


def dead(processes: Sequence[psutil.Process]) -> bool:
    """Whether all have ended; a zombie has, only its parent does not know yet."""
    return not any(runs(process) for process in processes)


async def test_killing_a_worker_loses_nothing_and_repeats_only_pages_in_flight(
    cluster: Cluster, site: Site
) -> None:
    await asyncio.to_thread(cluster.start_api)
    cluster.environment["CRAWL_STATIC_SLOTS"] = "4"
    cluster.start("doomed", "worker", "--kind", "static")
    cluster.start("scheduler", "scheduler")
    async with client_of(cluster) as client:
        crawl_id = await client.browser_rendering.crawl.create(
            account_id="local",
            url=site.url,
            render=False,
            limit=1000,
            depth=6,
            options={"include_subdomains": True},
        )
        async with asyncio.timeout(60):
            while len(site.requests) < 20:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(cluster.kill, "doomed")
        cluster.start("heir", "worker", "--kind", "static")
        answer = await ended(client, crawl_id)
    assert answer.status == "completed"
    assert answer.finished == answer.total
    assert not [record.url for record in answer.records if record.status == "queued"]
    asked = Counter((request.host, request.path) for request in site.requests)
    redirected = {"/routes/", "/about.html", "/hop/2"}
    repeated = sum(count - 1 for (_, path), count in asked.items() if path not in redirected)
    assert repeated <= 4


async def test_i11_a_cancelled_crawl_is_left_alone_within_two_seconds(cluster: Cluster, site: Site) -> None:
    await asyncio.to_thread(cluster.start_api)
    for name in ("one", "two"):
        cluster.start(name, "worker", "--kind", "static")
    async with client_of(cluster) as client:
        crawl_id = await client.browser_rendering.crawl.create(
            account_id="local", url=site.url, render=False, limit=100_000
        )
        async with asyncio.timeout(60):
            while len(site.requests) < 20:
                await asyncio.sleep(0.01)
        await client.browser_rendering.crawl.delete(crawl_id, account_id="local")
        cancelled_at = time.monotonic()
        await asyncio.sleep(3)
    assert max(request.monotonic for request in site.requests) < cancelled_at + 2


async def test_x12_a_crawl_posted_while_the_broker_is_down_starts_when_it_is_back(
    cluster: Cluster, site: Site, redis_server: Server
) -> None:
    await asyncio.to_thread(cluster.start_api)
    cluster.start("worker", "worker", "--kind", "static")
    cluster.start("scheduler", "scheduler")
    await asyncio.to_thread(redis_server.stop)
    try:
        async with client_of(cluster) as client:
            started = time.monotonic()
            crawl_id = await client.browser_rendering.crawl.create(
                account_id="local", url=site.url, render=False, limit=3
            )
            assert time.monotonic() - started < 3
    finally:
        await asyncio.to_thread(redis_server.start)
    async with client_of(cluster) as client:
        assert (await ended(client, crawl_id)).status == "completed"


async def test_x17_without_a_database_the_api_says_when_to_come_back(
    cluster: Cluster, site: Site, postgres_server: Server
) -> None:
    await asyncio.to_thread(cluster.start_api)
    url = f"{cluster.base_url}/accounts/local/browser-rendering/crawl"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = {"url": site.url, "render": False}
    await asyncio.to_thread(postgres_server.stop)
    try:
        async with httpx.AsyncClient(headers=headers, timeout=20, verify=False) as client:
            answer = await client.post(url, json=body)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["success"] is False
            assert (await client.get(f"http://127.0.0.1:{cluster.port}/ready")).status_code == 503
            assert (await client.get(f"http://127.0.0.1:{cluster.port}/health")).status_code == 200
    finally:
        await asyncio.to_thread(postgres_server.start)
    await asyncio.to_thread(wait_until, cluster.is_ready, "the API has its database again")
    async with client_of(cluster) as sdk:
        assert await sdk.browser_rendering.crawl.create(account_id="local", url=site.url, render=False)


async def test_x36_a_stop_hands_back_what_is_in_flight(cluster: Cluster, site: Site) -> None:
    await asyncio.to_thread(cluster.start_api)
    worker = cluster.start("leaving", "worker", "--kind", "static")
    async with client_of(cluster) as client:
        crawl_id = await client.browser_rendering.crawl.create(
            account_id="local", url=site.url, render=False, limit=200
        )
        async with asyncio.timeout(60):
            while len(site.requests) < 10:
                await asyncio.sleep(0.01)
        assert await asyncio.to_thread(cluster.stop, "leaving", signal.SIGTERM) < 30
        assert worker.returncode == 0
        cluster.start("next", "worker", "--kind", "static")
        cluster.start("scheduler", "scheduler")
        answer = await ended(client, crawl_id)
    assert answer.status == "completed"
    asked = Counter((request.host, request.path) for request in site.requests)
    redirected = {"/routes/", "/about.html", "/hop/2"}
    assert [path for (_, path), count in asked.items() if count > 1 and path not in redirected] == []
