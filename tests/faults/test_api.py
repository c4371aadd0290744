"""The API is killed while it takes a crawl and while it answers, and meets clients that hardly read."""

from __future__ import annotations

import asyncio
import socket
import uuid
from typing import Any

import httpx
import pytest
from redis import Redis

from tests.faults.points import POSTS, install_points, locked, stuck
from tests.faults.rig import Rig
from tests.faults.test_brokers import QUEUE
from tests.faults.test_workers import started

pytestmark = pytest.mark.chaos


async def kill_and_restart(rig: Rig) -> None:
    await asyncio.to_thread(rig.cluster.kill, "api")
    await rig.start_api()


async def test_x30_an_api_killed_during_a_post_has_taken_the_crawl_or_not(rig: Rig) -> None:
    await started(rig)
    await install_points(rig)
    body = {"url": rig.origin.url("h0.test", "once", 3), "render": False, "source": "links"}
    headers = {**rig.poller.headers, "Idempotency-Key": "one"}
    async with httpx.AsyncClient(headers=headers, timeout=60, verify=False) as client:

        async def killed_in(barrier: str, query: str) -> None:
            async with locked(rig, barrier):
                posting = asyncio.create_task(client.post(rig.poller.base_url, json=body))
                await stuck(rig, query)
                await asyncio.to_thread(rig.cluster.kill, "api")
            with pytest.raises(httpx.TransportError):
                await posting
            await rig.found(
                "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE usename LIKE 'api\\_%')",
                "the database has noticed that the API is gone",
            )
            await rig.start_api()

        await killed_in("LOCK TABLE crawls IN SHARE MODE", "INSERT INTO crawls%")
        assert await rig.value("SELECT count(*) FROM crawls") == 0

        await killed_in(f"SELECT pg_advisory_xact_lock({POSTS})", "COMMIT%")
        assert await rig.value("SELECT count(*) FROM crawls") == 1

        # The client knows nothing of the second one but repeats its request, as it did after the first.
        answer = await client.post(rig.poller.base_url, json=body)
    assert answer.json()["result"] == await rig.value("SELECT id FROM crawls")
    rig.accepted[answer.json()["result"]] = body["url"]  # type: ignore[assignment]
    rig.poller.crawl_ids.append(answer.json()["result"])
    await rig.start_worker("a")
    evidence = await rig.check()
    assert len(evidence.crawls) == 1


async def test_x30_an_api_killed_before_and_after_its_ring_has_started_the_crawl(rig: Rig) -> None:
    await started(rig)
    with Redis.from_url(rig.redis_url) as redis:
        rung = await rig.post(size=3)
        await rig.until(lambda: redis.llen(QUEUE) == 1, "the ring is in Redis")
        await asyncio.to_thread(rig.cluster.kill, "api")
        redis.flushall()
        await rig.start_api()
        rig.brokers["api"].hold()
        silent = await rig.post(host="h2.test", size=3)
        await asyncio.to_thread(rig.cluster.kill, "api")
        assert redis.llen(QUEUE) == 0
    rig.brokers["api"].pass_on()
    await rig.start_scheduler()
    await rig.start_worker("a")
    for crawl_id in (rung, silent):
        path = rig.path(crawl_id)
        await rig.until(lambda path=path: rig.origin.count(path) > 0, "its first page is asked for", 10)  # type: ignore[misc]
    await rig.start_api()
    await rig.check()


async def test_x31_a_client_whose_answer_broke_off_repeats_it_and_misses_nothing(rig: Rig) -> None:
    await started(rig, "a")
    # Answers of ten megabytes, of which little fits into the buffers between the API and its client.
    rig.origin.padding = uuid.uuid4().hex * 20_000
    transport = httpx.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)])
    crawl_id = await rig.post(host="h0.test", size=31)
    rig.poller.crawl_ids.remove(crawl_id)  # it would remember every reading of this
    await rig.found(f"SELECT status <> 'running' FROM crawls WHERE id = '{crawl_id}'", "the crawl ends")
    url = f"{rig.poller.base_url}/{crawl_id}"
    async with httpx.AsyncClient(headers=rig.poller.headers, timeout=60, transport=transport) as client:

        async def read(cursor: str) -> dict[str, Any]:
            answer = await client.get(url, params={"cursor": cursor})
            result: dict[str, Any] = answer.json()["result"]
            return result

        cursor: str | None = "0"
        seen, breaks = [], 0
        while cursor is not None:
            whole = await read(cursor)
            seen += [record["url"] for record in whole["records"]]
            if "cursor" in whole:  # the last one is short
                async with client.stream("GET", url, params={"cursor": cursor}) as answer:
                    chunks = answer.aiter_bytes()
                    await anext(chunks)
                    await kill_and_restart(rig)
                    with pytest.raises(httpx.TransportError):
                        async for _ in chunks:
                            pass
                breaks += 1
                assert await read(cursor) == whole
            cursor = whole.get("cursor")
    assert breaks > 1
    assert len(seen) == len(set(seen)) == 32
    rig.poller.crawl_ids.append(crawl_id)
    await rig.check()
