"""Postgres dies, hangs, is slow, loses the answer to COMMIT and jumps in time."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.faults.deployment import LEASE_SECONDS
from tests.faults.rig import Rig
from tests.faults.test_workers import post_held, started
from tests.servers import Server

pytestmark = pytest.mark.chaos

_JUMP = (
    "CREATE OR REPLACE FUNCTION crawl_now() RETURNS bigint LANGUAGE sql VOLATILE AS "
    "$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint + ({} * 1000) $$"
)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_x17_a_database_that_restarts_under_load(rig: Rig, postgres_server: Server, how: str) -> None:
    await started(rig, "a", "b")
    for host in ("h0.test", "h1.test"):
        await rig.post(host=host, size=20)
    await rig.until(lambda: len(rig.origin.pages()) > 5, "the crawls are under way")
    await asyncio.to_thread(postgres_server.stop if how == "stop" else postgres_server.kill)
    await asyncio.to_thread(postgres_server.start)
    await rig.check()


async def test_x18_answers_to_commit_that_never_come(rig: Rig) -> None:
    await started(rig, "a", "b")
    crawl_id = await rig.post(size=30)
    for pages in range(3, 25, 3):
        await rig.until(lambda pages=pages: len(rig.origin.pages()) >= pages, f"{pages} pages")  # type: ignore[misc]
        rig.databases["a"].cut_commits()
        rig.databases["b"].cut_commits()
    evidence = await rig.check()
    assert rig.databases["a"].commits_cut + rig.databases["b"].commits_cut > 3
    (crawl,) = evidence.crawls
    assert (crawl.id, crawl.counters["completed"]) == (crawl_id, 30)


async def test_x19_a_post_whose_commit_is_not_answered_can_be_repeated(rig: Rig) -> None:
    await started(rig, "a")
    url = rig.origin.url("h0.test", "once", 3)
    body = {"url": url, "render": False, "source": "links"}
    headers = {**rig.poller.headers, "Idempotency-Key": "one"}
    rig.databases["api"].cut_commits(2)
    async with httpx.AsyncClient(headers=headers, timeout=30, verify=False) as client:
        for _ in range(5):
            answer = await client.post(rig.poller.base_url, json=body)
            if answer.status_code == 200:
                break
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
    assert answer.status_code == 200
    assert rig.databases["api"].commits_cut > 0
    rig.accepted[answer.json()["result"]] = url
    rig.poller.crawl_ids.append(answer.json()["result"])
    evidence = await rig.check()
    assert len(evidence.crawls) == 1


async def test_x20_a_worker_cut_off_from_its_database_lets_go(rig: Rig) -> None:
    await started(rig, "a")
    held = await post_held(rig)
    rig.databases["a"].hold()
    await rig.start_worker("b")
    await rig.until(lambda: rig.origin.count(held) == 2, "another worker asks for it")
    rig.origin.release()
    await rig.ended()
    rig.databases["a"].pass_on()
    await rig.check()
    assert rig.origin.count(held) == 2


async def test_x24_a_slow_database_costs_pace_and_no_lease(rig: Rig) -> None:
    # 0.3 s for each question, and a new connection asks ten: the short leases of these tests have no time for that.
    rig.cluster.environment |= {"CRAWL_LEASE_SECONDS": "20", "CRAWL_PUMP_SECONDS": "30"}
    rig.cluster.environment |= {"CRAWL_FIRST_BYTE_TIMEOUT_SECONDS": "90", "CRAWL_FETCH_TIMEOUT_SECONDS": "90"}
    await started(rig, "a")
    rig.databases["a"].delay(0.15)
    rig.origin.hold_next("0")
    crawl_id = await rig.post(size=3)
    leased = "SELECT leased_until_at FROM urls WHERE status = 'leased' AND role = 'page'"
    await rig.until(lambda: rig.origin.count(rig.path(crawl_id)) == 1, "the page is asked for")
    until = await rig.found(leased, "its lease is there")
    # Held on to for longer than a lease lasts.
    await rig.found(f"{leased} AND leased_until_at > {until} + 25000", "the lease is extended")
    rig.origin.release()
    evidence = await rig.check()
    assert not [change for change in evidence.changes if change.reason == "worker_lost"]
    assert rig.origin.count(rig.path(crawl_id)) == 1


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_x26_a_database_whose_clock_jumps(rig: Rig, seconds: int) -> None:
    await started(rig, "a")
    held = await post_held(rig)
    crawl_id = next(iter(rig.accepted))
    await rig.execute(_JUMP.format(seconds))
    await rig.until(lambda: rig.origin.count(rig.path(crawl_id, 5)) > 0, "the crawl goes on")
    rig.origin.release()
    await rig.ended(seconds=60)
    assert rig.origin.count(held) <= 2
    assert LEASE_SECONDS < 60
