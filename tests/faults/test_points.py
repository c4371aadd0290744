"""A worker dies, sleeps or loses its database exactly at a named point of its work (X3), or exactly between its turn
and its request (X23)."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults.deployment import LEASE_SECONDS
from tests.faults.points import HOST, POINTS, install_points, locked, stuck
from tests.faults.rig import Rig
from tests.faults.test_workers import started

pytestmark = pytest.mark.chaos

#: What was fetched and not committed is fetched once more when its worker dies. When it sleeps past its lease that is
#: so only for what it had not begun to write: from then on its transaction has the page, and nobody takes it over.
#: Nothing else is ever fetched again.
LOST = {
    "kill": {"after_fetch", "mid_children", "before_commit"},
    "pause": {"after_fetch"},
    "break": set(),
}
#: Where the page of a worker that sleeps can be taken over.
NOT_YET_WRITTEN = {"after_claim", "before_dial", "after_fetch"}


@pytest.mark.parametrize("how", ["kill", "pause", "break"])
async def test_x3_a_fault_at_each_point_costs_one_fetch_at_most(rig: Rig, how: str) -> None:
    await started(rig, "a", "b")
    await install_points(rig)
    await rig.ended(await rig.post(host=HOST, size=1))  # robots.txt is known from now on
    fetched: dict[str, int] = {}
    for name, point in POINTS.items():
        async with point(rig) as worker:
            crawl_id = list(rig.accepted)[-1]
            page = f"FROM urls WHERE crawl_id = '{crawl_id}' AND seq = 1"
            token = await rig.value(f"SELECT lease_token {page}")
            match how:
                case "kill":
                    rig.kill_children(worker)
                case "pause":
                    rig.signal_tree(worker, signal.SIGSTOP)
                case "break":
                    rig.databases[worker].reset()
        if how == "pause":
            if name in NOT_YET_WRITTEN:
                taken = f"SELECT lease_token IS DISTINCT FROM '{token}' {page}"
                await rig.found(taken, "the page is taken over")
            else:
                await asyncio.sleep(2 * LEASE_SECONDS)
            rig.signal_tree(worker, signal.SIGCONT)
        await rig.ended(crawl_id)
        fetched[name] = rig.origin.count(rig.path(crawl_id))
    assert fetched == {name: 2 if name in LOST[how] else 1 for name in POINTS}
    await rig.check()


async def test_x23_a_worker_that_sleeps_between_its_turn_and_its_request_asks_anew(rig: Rig) -> None:
    await started(rig, "a", "b")
    await install_points(rig)
    await rig.ended(await rig.post(host=HOST, size=1))  # robots.txt is known from now on
    for _ in range(5):
        async with locked(rig, "LOCK TABLE crawl_secrets IN ACCESS EXCLUSIVE MODE"):
            crawl_id = await rig.post(host=HOST, size=1)
            worker = await stuck(rig, "%FROM crawl_secrets%")
            rig.signal_tree(worker, signal.SIGSTOP)
        # The other worker takes the host's next turns, as fast as it may, while this one wakes up in between.
        asked = len(rig.origin.pages())
        await rig.post(host=HOST, size=15)
        await rig.until(lambda asked=asked: len(rig.origin.pages()) > asked + 3, "the other one works")  # type: ignore[misc]
        assert rig.origin.count(rig.path(crawl_id)) == 0
        rig.signal_tree(worker, signal.SIGCONT)
        await rig.ended()
    evidence = await rig.check()
    assert {crawl.status for crawl in evidence.crawls} == {"completed"}
