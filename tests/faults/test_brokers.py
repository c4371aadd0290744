"""Redis dies, forgets, fills up, hangs and lies: it is a doorbell, so only time may be lost."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis import Redis

from tests.faults.rig import Rig
from tests.faults.test_workers import started
from tests.servers import Server

pytestmark = pytest.mark.chaos


async def test_x10_c43_c44_c45_doubled_forged_and_foreign_messages_change_nothing(rig: Rig) -> None:
    await started(rig, "a")
    with Redis.from_url(rig.redis_url) as redis:
        rubbish = [
            b"\x80\x04pickle",
            b'{"body": "' + b"A" * 100_000,
            b"[" * 50_000,
            b'{"headers": {"task": "os.system"}, "properties": {}, "body": "W10=", "content-type": "x"}',
        ]
        for queue in ("crawl:crawl.static", "crawl:celery", "crawl:celery.pidbox"):
            redis.lpush(queue, *rubbish[:1])
        redis.lpush("crawl:crawl.static", *rubbish)
        redis.publish("crawl:/0.celery.pidbox", b'{"method": "shutdown"}')
    await rig.post(size=20)
    evidence = await rig.check()
    assert [crawl.status for crawl in evidence.crawls] == ["completed"]
    assert rig.children("a")


async def test_x13_a_redis_that_forgets_everything_loses_nothing(rig: Rig) -> None:
    await started(rig, "a")
    await rig.start_scheduler()
    crawl_id = await rig.post(size=40)
    with Redis.from_url(rig.redis_url) as redis:
        for pages in range(5, 30, 5):
            await rig.until(lambda pages=pages: len(rig.origin.pages()) >= pages, f"{pages} pages")  # type: ignore[misc]
            redis.flushall()
    evidence = await rig.check()
    (crawl,) = evidence.crawls
    assert (crawl.id, crawl.counters["completed"]) == (crawl_id, 40)


async def test_x14_a_redis_that_is_full_costs_a_post_no_more_than_time(rig: Rig) -> None:
    await started(rig, "a")
    with Redis.from_url(rig.redis_url) as redis:
        redis.config_set("maxmemory", "1mb")
        try:
            began = time.monotonic()
            await rig.post(size=10)
            assert time.monotonic() - began < 3
            await rig.check()
        finally:
            redis.config_set("maxmemory", "0")


async def test_x15_x21_a_broker_that_hangs_neither_holds_up_a_post_nor_the_crawl(rig: Rig) -> None:
    await started(rig, "a")
    for relay in rig.brokers.values():
        relay.hold()
    began = time.monotonic()
    await rig.post(size=10)
    assert time.monotonic() - began < 3
    # The relays stay closed: the worker finds the work by itself.
    await rig.check()


async def test_x16_a_broker_whose_connections_keep_breaking(rig: Rig) -> None:
    await started(rig, "a")
    for _ in range(20):
        rig.brokers["a"].reset()
        await asyncio.sleep(0.15)
    await rig.post(size=10)
    await rig.check()


async def test_x12_a_broker_that_restarts_under_load(rig: Rig, redis_server: Server) -> None:
    await started(rig, "a", "b")
    await rig.post(size=30)
    await rig.until(lambda: len(rig.origin.pages()) > 5, "the crawl is under way")
    await asyncio.to_thread(redis_server.kill)
    await rig.post(host="h2.test", size=10)
    await asyncio.to_thread(redis_server.start)
    await rig.check()
