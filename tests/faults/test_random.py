"""Seeded random faults against a whole deployment that crawls sites again and again, then calm, then every invariant.

A minute of faults each. `make test` runs the first three seeds, `make chaos SEEDS=50` the first fifty.
"""

from __future__ import annotations

import os

import httpx
import pytest

from tests.faults.nemesis import SCHEDULERS, WORKERS, Nemesis
from tests.faults.recrawler import Recrawler
from tests.faults.rig import Rig
from tests.servers import Server

FIRST_SEED = int(os.environ.get("CRAWL_CHAOS_FIRST_SEED", "1"))
SEEDS = range(FIRST_SEED, FIRST_SEED + int(os.environ.get("CRAWL_CHAOS_SEEDS", "3")))
#: After the last fault everything must have ended by then (I2): two leases, a paused transaction's locks, a start.
CALM_SECONDS = 120


async def break_and_check(rig: Rig, seed: int, servers: tuple[Server, Server], seconds: float) -> None:
    await rig.start_api()
    for name in SCHEDULERS:
        await rig.start_scheduler(name)
    for name in WORKERS:
        await rig.start_worker(name, wait=False)
    for host in ("h0.test", "h1.test"):
        await rig.post(host=host, size=20)
    secret = await rig.post_secret()
    nemesis = Nemesis(rig, seed, *servers)
    try:
        async with httpx.AsyncClient(headers=rig.poller.headers, timeout=30) as client:
            recrawler = Recrawler(rig, seed, client)
            # Over with the faults: what is due last is decided in peace.
            await recrawler.add_schedules(seconds)
            await nemesis.run(seconds, recrawler)
        await rig.until(lambda: rig.poller.status(secret) != "", "the API answers")
        assert await rig.cancel(secret) in {200, 400}
        await rig.ended(seconds=CALM_SECONDS)
        await rig.check(with_changes=True)
    except AssertionError as error:
        error.add_note(f"seed {seed}: {', '.join(nemesis.done)}")
        raise


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.chaos(always=seed <= 3)) for seed in SEEDS]
)
async def test_invariants_hold_under_a_minute_of_random_faults(
    rig: Rig, postgres_server: Server, redis_server: Server, seed: int
) -> None:
    await break_and_check(rig, seed, (postgres_server, redis_server), seconds=60)
