"""Workers that die, sleep, get forged messages, or are asked to go."""

from __future__ import annotations

import asyncio
import signal
import time
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.faults.origin import HOSTS
from tests.faults.rig import Rig
from tests.servers import Server

pytestmark = pytest.mark.chaos

#: 10,000 crawls of one page each, as if posted while there were no workers.
_HERD = """
WITH herd AS (
    INSERT INTO crawls (id, account_id, status, seed_url, options, kind, url_limit, max_depth, request_hash, created_at,
                        deadline_at, queued, next_seq)
    SELECT gen_random_uuid(), 'local', 'running', 'http://' || host || ':{port}/herd' || n || '/1/0', options,
           'static', 1, 1, '', created_at, deadline_at, 1, 2
    FROM (SELECT *, split_part(split_part(seed_url, '/', 3), ':', 1) AS host FROM crawls) c,
         generate_series(1, 3333) n
    RETURNING id, seed_url
)
INSERT INTO urls (crawl_id, seq, rank, role, url, url_key, host_id, kind, depth, status)
SELECT herd.id, 1, 1, 'page', seed_url, left(md5(seed_url), 22), hosts.id, 'static', 0, 'queued'
FROM herd, hosts WHERE hosts.name = split_part(split_part(seed_url, '/', 3), ':', 1);
UPDATE hosts SET waiting_static = true;
"""


async def started(rig: Rig, *workers: str) -> None:
    await rig.start_api()
    for name in workers:
        await rig.start_worker(name)


async def post_held(rig: Rig) -> str:
    """A crawl whose last page is asked for and gets no answer. Returns that page's path."""
    rig.origin.hold_next("3")
    crawl_id = await rig.post(size=7)
    path = rig.path(crawl_id, 3)
    await rig.until(lambda: rig.origin.count(path) == 1, "the held page is asked for")
    return path


async def test_x1_a_killed_child_costs_one_more_fetch(rig: Rig) -> None:
    await started(rig, "a")
    held = await post_held(rig)
    rig.kill_children("a")
    await rig.until(lambda: rig.origin.count(held) == 2, "it is asked for again")
    rig.origin.release()
    await rig.check()
    assert rig.origin.count(held) == 2


async def test_x2_a_killed_worker_is_replaced_by_another_one(rig: Rig) -> None:
    await started(rig, "a", "b")
    crawl_ids = [await rig.post(host=host, size=20) for host in ("h0.test", "h2.test")]
    await rig.until(lambda: len(rig.origin.pages()) > 5, "the crawls are under way")
    await asyncio.to_thread(rig.cluster.kill, "a")
    evidence = await rig.check()
    assert {crawl.status for crawl in evidence.crawls} == {"completed"}
    assert len(crawl_ids) == len(evidence.crawls)


async def test_x9_a_page_that_kills_its_worker_three_times_is_given_up(rig: Rig) -> None:
    await started(rig, "a")
    held = await post_held(rig)
    for attempt in (1, 2, 3):
        await rig.until(lambda attempt=attempt: rig.origin.count(held) == attempt, f"attempt {attempt}")  # type: ignore[misc]
        rig.kill_children("a")
    evidence = await rig.check()
    (url,) = (url for url in evidence.urls if url.url.endswith(held))
    assert url.status == "errored"
    assert await rig.value(f"SELECT reason FROM urls WHERE id = {url.id}") == "worker_lost"
    assert rig.origin.count(held) == 3


async def test_x22_a_worker_that_slept_past_its_lease_neither_writes_nor_dials(rig: Rig) -> None:
    await started(rig, "a")
    await rig.post(size=40)
    await rig.until(lambda: len(rig.origin.pages()) > 5, "the crawl is under way")
    rig.signal_tree("a", signal.SIGSTOP)
    await rig.start_worker("b")
    seen = len(rig.origin.pages())
    await rig.until(lambda: len(rig.origin.pages()) > seen + 5, "another worker has taken over")
    rig.signal_tree("a", signal.SIGCONT)
    await rig.check()


async def test_i11_x22_a_worker_that_sleeps_through_a_cancel_asks_for_nothing_more(rig: Rig) -> None:
    await started(rig, "a")
    crawl_id = await rig.post(size=60)
    await rig.until(lambda: len(rig.origin.pages()) > 5, "the crawl is under way")
    rig.signal_tree("a", signal.SIGSTOP)
    assert await rig.cancel(crawl_id) == 200
    asked = len(rig.origin.requests)
    rig.signal_tree("a", signal.SIGCONT)
    other = await rig.post(size=5)
    await rig.ended(other)
    await rig.check()
    # What was on its way to the origin when the worker fell asleep may arrive.
    tag = urlsplit(rig.accepted[crawl_id]).path.split("/")[1]
    assert sum(tag in request.path for request in rig.origin.requests[asked:]) <= 1


async def test_x28_ticks_of_three_schedulers_and_two_workers_do_everything_once(rig: Rig) -> None:
    await started(rig, "a", "b")
    for name in ("one", "two", "three"):
        await rig.start_scheduler(name)
    held = await post_held(rig)
    rig.kill_children("a")
    rig.kill_children("b")
    await rig.until(lambda: rig.origin.count(held) == 2, "it is asked for again")
    rig.origin.release()
    evidence = await rig.check()
    taken_back = [change for change in evidence.changes if change.was == "leased"]
    lost = [change for change in taken_back if change.reason == "worker_lost"]
    assert len(lost) == len({change.url_id for change in lost}) > 0


async def test_x37_a_kill_soon_after_a_stop_is_a_kill(rig: Rig) -> None:
    await started(rig, "a")
    held = await post_held(rig)
    rig.cluster.processes["a"].send_signal(signal.SIGTERM)
    await asyncio.sleep(1)
    await asyncio.to_thread(rig.cluster.kill, "a")
    await rig.start_worker("b")
    await rig.until(lambda: rig.origin.count(held) == 2, "it is asked for again")
    rig.origin.release()
    await rig.check()


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT], [signal.SIGQUIT]])
async def test_x37_other_ways_to_stop_lose_nothing_either(rig: Rig, signals: list[signal.Signals]) -> None:
    await started(rig, "a")
    held = await post_held(rig)
    below = rig.children("a")
    worker = rig.cluster.processes.pop("a")
    for signum in signals:
        worker.send_signal(signum)
    rig.origin.release()
    await rig.until(lambda: worker.poll() is not None, "the worker is gone")
    await rig.until(lambda: not any(process.is_running() for process in below), "and all below it")
    await rig.start_worker("b")
    await rig.check()
    assert rig.origin.count(held) <= 2


async def test_x40_a_herd_of_crawls_that_waited_for_workers(rig: Rig, postgres_server: Server) -> None:
    await started(rig)
    for host in HOSTS:
        await rig.post(host=host, size=1)
    await rig.execute(_HERD.format(port=rig.origin.port))
    names = ("a", "b", "c", "d")
    for name in names:
        await rig.start_worker(name, wait=False)
    await rig.until(lambda: len(rig.origin.pages()) > 10, "work has begun")
    began, spent = time.monotonic(), postgres_server.cpu_seconds()
    longest = 0
    with Redis.from_url(rig.redis_url) as redis:

        def watched() -> bool:
            nonlocal longest
            longest = max(longest, redis.llen("crawl:crawl.static"))
            return len(rig.origin.pages()) > 100

        await rig.until(watched, "100 pages", seconds=120)
    # A ring that is not taken is not repeated for each crawl that waits, nor is one asked for by each.
    assert longest < 50
    assert postgres_server.cpu_seconds() - spent < time.monotonic() - began
    for name in names:
        await asyncio.to_thread(rig.cluster.stop, name, signal.SIGTERM)
    # What has not ended by now is not waited for.
    rig.poller.crawl_ids.clear()
    rig.accepted.clear()
    await rig.execute("DELETE FROM crawls WHERE status = 'running'")
    evidence = await rig.check()
    assert len(evidence.crawls) > 50
