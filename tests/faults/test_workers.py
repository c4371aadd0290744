"""Workers that die, sleep, get forged messages, or are asked to go."""

from __future__ import annotations

import asyncio
import signal
from urllib.parse import urlsplit

import pytest

from tests.faults.rig import Rig

pytestmark = pytest.mark.chaos


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
