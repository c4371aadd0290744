"""Redis dies, forgets, fills up, hangs and lies: it is a doorbell, so only time may be lost."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest
from redis import Redis

from tests.faults.rig import Rig
from tests.faults.test_workers import started
from tests.servers import Server

pytestmark = pytest.mark.chaos

QUEUE = "crawl:crawl.static"
#: Messages that were taken and not yet acknowledged, by tag.
UNACKED = "crawl:unacked"


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


async def test_x10_x11_a_real_message_five_times_and_one_that_nobody_acknowledged(rig: Rig) -> None:
    await started(rig)
    with Redis.from_url(rig.redis_url) as redis:
        await rig.post(size=15)
        await rig.until(lambda: redis.llen(QUEUE) == 1, "the ring is in Redis")
        (message,) = redis.lrange(QUEUE, 0, -1)
        redis.rpush(QUEUE, *[message] * 4)
        await rig.start_worker("a")
        await rig.until(lambda: len(rig.origin.pages()) > 3, "the crawl is under way")
        # What is worked on is acknowledged: a visibility timeout could restore the one that is next, and no other.
        assert redis.hlen(UNACKED) <= 1
        await rig.ended()

        # A worker that has taken a message, and dies before its child has accepted it.
        rig.signal_tree("a", signal.SIGSTOP)
        rig.cluster.processes["a"].send_signal(signal.SIGCONT)
        await rig.post(host="h2.test", size=15)
        await rig.until(lambda: redis.hlen(UNACKED) == 1, "the message is taken, and not acknowledged")
        await asyncio.to_thread(rig.cluster.kill, "a")
        (restored,) = redis.hvals(UNACKED)
        await rig.start_worker("b")
        await rig.until(lambda: rig.origin.pages()[-1].host == "h2.test", "the other crawl is under way")
        # And then it comes back, as after the visibility timeout.
        redis.lpush(QUEUE, json.dumps(json.loads(restored)[0]))
        await rig.until(lambda: redis.llen(QUEUE) == 0, "it is taken once more")
    evidence = await rig.check()
    assert max(rig.origin.count(request.path) for request in rig.origin.pages()) == 1
    assert {crawl.status for crawl in evidence.crawls} == {"completed"}


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
            # Full when they connect, and full when they try to write.
            await rig.start_scheduler()
            await rig.start_worker("b")
            began = time.monotonic()
            await rig.post(size=10)
            assert time.monotonic() - began < 3
            await rig.ended()
        finally:
            redis.config_set("maxmemory", "0")
    await rig.post(size=10)
    await rig.check()
    assert all(process.poll() is None for process in rig.cluster.processes.values())


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
