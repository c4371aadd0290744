"""Each process of a worker shows its own counters, at a port of its own."""

from __future__ import annotations

import asyncio

import httpx

from tests.distributed.conftest import Cluster, wait_until
from tests.distributed.test_cluster import client_of, ended
from tests.servers import free_port
from tests.site.server import Site


def free_ports() -> int:
    """The first of two neighbours that nobody has."""
    while True:
        first = free_port()
        if first < 65_535 and not shown(first) and not shown(first + 1):
            return first


def shown(port: int) -> str:
    """What a process shows; nothing where there is none."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, verify=False, timeout=5).text
    except httpx.TransportError:
        return ""


def has(text: str, name: str) -> bool:
    """Whether one of these samples is more than zero."""
    return any(line.startswith(name) and not line.endswith(" 0.0") for line in text.splitlines())


async def test_every_process_of_a_worker_shows_its_metrics(cluster: Cluster, site: Site) -> None:
    port = free_ports()
    cluster.environment["CRAWL_METRICS_PORT"] = str(port)
    await asyncio.to_thread(cluster.start_api)
    cluster.start("static", "worker", "--kind", "static", "--processes", "2")
    await asyncio.to_thread(
        wait_until, lambda: bool(shown(port) and shown(port + 1)), "both processes show metrics"
    )
    async with client_of(cluster) as client:
        crawl_id = await client.browser_rendering.crawl.create(
            account_id="local", url=site.url, render=False, limit=5
        )
        await ended(client, crawl_id)
    text = shown(port) + shown(port + 1)
    assert has(text, "crawl_pages_total{")
    assert has(text, "crawl_doorbell_lag_seconds_count")
    await asyncio.to_thread(cluster.stop, "static")
    assert not shown(port)
    assert not shown(port + 1)
