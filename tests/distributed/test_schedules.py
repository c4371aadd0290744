"""Issue 5: a schedule at one-minute cron survives restarts of the scheduler, of Redis and of Postgres without a double
or silent miss. The processes are those of a deployment, the clock is the database's, in the test's hands."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import asyncpg
import httpx

from tests.distributed.conftest import TOKEN, Cluster, wait_until
from tests.servers import Server

CRAWL = {"url": "http://site.invalid/", "render": False}
SCHEDULE = {"cron": "* * * * *", "overlap": "cancel_previous", "catchUp": "skip", "crawl": CRAWL}


class Minutes:
    """The minutes of the database's clock, which stands still until the test lets one pass."""

    def __init__(self, cluster: Cluster) -> None:
        self._url = cluster.environment["CRAWL_DATABASE_URL"]
        self.passed = 0

    async def set(self) -> None:
        """A second after a full minute of the year 2033, and as many minutes later as have passed."""
        now = 1_999_999_980_000 + 1_000 + self.passed * 60_000
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(
                "CREATE OR REPLACE FUNCTION crawl_now() RETURNS bigint LANGUAGE sql VOLATILE AS "
                f"$$ SELECT {now}::bigint $$"
            )
        finally:
            await connection.close()

    async def pass_one(self) -> None:
        self.passed += 1
        await self.set()


async def test_a_minutely_schedule_survives_restarts_without_a_double_or_silent_miss(
    cluster: Cluster, redis_server: Server, postgres_server: Server
) -> None:
    cluster.environment |= {"CRAWL_EGRESS_UPSTREAM_PROXY": "http://127.0.0.1:9"}
    minutes = Minutes(cluster)
    await minutes.set()
    await asyncio.to_thread(cluster.start_api)
    cluster.start("static", "worker", "--kind", "static")
    cluster.start("scheduler", "scheduler")
    cluster.start("scheduler2", "scheduler")
    api = f"{cluster.base_url}/accounts/local/browser-rendering"
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, verify=False
    ) as http:
        made = (await http.post(f"{api}/schedules", json=SCHEDULE)).json()["result"]

        async def runs() -> list[dict[str, Any]]:
            answer = await http.get(f"{api}/schedules/{made['id']}/runs?limit=100")
            found: list[dict[str, Any]] = answer.json()["result"]["runs"] if answer.is_success else []
            return found[::-1]

        async def decided() -> None:
            async with asyncio.timeout(90):
                while len(await runs()) < minutes.passed:
                    await asyncio.sleep(0.1)

        await minutes.pass_one()
        await decided()
        # One of the schedulers is killed and comes back; the other one goes on.
        await asyncio.to_thread(cluster.kill, "scheduler")
        cluster.start("scheduler", "scheduler")
        await minutes.pass_one()
        await decided()
        # Schedulers and worker are gone for a minute.
        for name in ("scheduler", "scheduler2", "static"):
            await asyncio.to_thread(cluster.stop, name, signal.SIGTERM)
        await minutes.pass_one()
        cluster.start("scheduler", "scheduler")
        cluster.start("scheduler2", "scheduler")
        cluster.start("static", "worker", "--kind", "static")
        await minutes.pass_one()
        await decided()
        # A minute passes while Redis is away, and another one as Postgres goes.
        await asyncio.to_thread(redis_server.stop)
        await minutes.pass_one()
        await asyncio.to_thread(redis_server.start)
        await decided()
        await minutes.pass_one()
        await asyncio.to_thread(postgres_server.restart)
        await asyncio.to_thread(wait_until, cluster.is_ready, "the API is ready again")
        await decided()
        await minutes.pass_one()
        await decided()

        found = await runs()
        started = [run["crawlId"] for run in found if run["status"] == "ran"]
        crawls = (await http.get(f"{api}/crawl?limit=100")).json()["result"]["crawls"]
    due = [run["dueAt"] for run in found]
    assert due == [f"2033-05-18T03:{34 + number:02}:00.000Z" for number in range(minutes.passed)]
    # The minute in which nobody was there is on record as one; the clock stood still, so all others were in time.
    assert [run["status"] for run in found] == ["ran", "ran", "missed", "ran", "ran", "ran", "ran"]
    assert sorted(started) == sorted(crawl["id"] for crawl in crawls)
