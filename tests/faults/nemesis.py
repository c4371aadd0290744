"""Random faults from a seed: the same seed breaks the same things in the same order, at about the same times."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping

from redis import Redis
from redis.exceptions import RedisError

from tests.faults.deployment import LEASE_SECONDS
from tests.faults.recrawler import Recrawler
from tests.faults.rig import Rig
from tests.servers import Server

WORKERS = ("a", "b")
SCHEDULERS = ("one", "two")


class Nemesis:
    """Breaks one deployment. At least one fault is under way at most times; each ends by itself."""

    def __init__(self, rig: Rig, seed: int, postgres: Server, redis: Server) -> None:
        self._rig = rig
        # Chance by seed is the point here.
        self._random = random.Random(seed)
        self._postgres = postgres
        self._redis = redis
        self.done: list[str] = []

    async def run(self, seconds: float, recrawler: Recrawler) -> None:
        """Break things for so long, while `recrawler` starts crawls. In the end everything is whole again."""
        ends_at = time.monotonic() + seconds
        faults = self._faults()
        while time.monotonic() < ends_at:
            await asyncio.sleep(self._random.uniform(0.5, 2.0))
            name = self._random.choice(list(faults))
            self.done.append(name)
            await faults[name]()
            await recrawler.step(most=round(seconds / 5))
            await self._rig.read_all_crawls()
        for relay in (*self._rig.databases.values(), *self._rig.brokers.values()):
            relay.pass_on()

    def _faults(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        return {
            "kill a child": self._kill_child,
            "kill a worker": self._kill_worker,
            "stop a worker": self._stop_worker,
            "pause a worker": self._pause_worker,
            "kill a scheduler": self._kill_scheduler,
            "pause a scheduler": self._pause_scheduler,
            "restart Redis": self._restart_redis,
            "empty Redis": self._empty_redis,
            "hold the broker": self._hold_broker,
            "break the broker's connections": self._reset_broker,
            "restart Postgres": self._restart_postgres,
            "crash Postgres": self._crash_postgres,
            "cut answers to COMMIT": self._cut_commits,
            "hold the database": self._hold_database,
            "slow the database": self._slow_database,
            "break the database's connections": self._reset_database,
            "cancel a crawl": self._cancel,
        }

    def _worker(self) -> str:
        return self._random.choice(WORKERS)

    def _process(self) -> str:
        return self._random.choice((*WORKERS, *SCHEDULERS, "api"))

    async def _kill_child(self) -> None:
        self._rig.kill_children(self._worker())

    async def _kill_worker(self) -> None:
        name = self._worker()
        await asyncio.to_thread(self._rig.cluster.kill, name)
        await self._rig.start_worker(name, wait=False)

    async def _stop_worker(self) -> None:
        name = self._worker()
        await asyncio.to_thread(self._rig.cluster.stop, name, signal.SIGTERM, 60)
        await self._rig.start_worker(name, wait=False)

    async def _pause_worker(self) -> None:
        await self._pause(self._worker())

    async def _kill_scheduler(self) -> None:
        name = self._random.choice(SCHEDULERS)
        await asyncio.to_thread(self._rig.cluster.kill, name)
        await self._rig.start_scheduler(name)

    async def _pause_scheduler(self) -> None:
        await self._pause(self._random.choice(SCHEDULERS))

    async def _pause(self, name: str) -> None:
        self._rig.signal_tree(name, signal.SIGSTOP)
        await asyncio.sleep(self._random.uniform(0.2, 2.5) * LEASE_SECONDS)
        self._rig.signal_tree(name, signal.SIGCONT)

    async def _restart_redis(self) -> None:
        await asyncio.to_thread(self._redis.restart)

    async def _empty_redis(self) -> None:
        with Redis.from_url(self._rig.redis_url) as redis:
            try:
                redis.flushall()
            except RedisError:
                self.done.append("(Redis did not answer)")

    async def _hold_broker(self) -> None:
        relay = self._rig.brokers[self._process()]
        relay.hold()
        await asyncio.sleep(self._random.uniform(0.5, 5.0))
        relay.pass_on()

    async def _reset_broker(self) -> None:
        self._rig.brokers[self._process()].reset()

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.restart)

    async def _crash_postgres(self) -> None:
        await asyncio.to_thread(self._postgres.kill)
        await asyncio.to_thread(self._postgres.start)

    async def _cut_commits(self) -> None:
        self._rig.databases[self._process()].cut_commits(self._random.randint(1, 5))

    async def _hold_database(self) -> None:
        relay = self._rig.databases[self._random.choice((*WORKERS, *SCHEDULERS))]
        relay.hold()
        await asyncio.sleep(self._random.uniform(0.2, 2.0) * LEASE_SECONDS)
        relay.pass_on()

    async def _slow_database(self) -> None:
        relay = self._rig.databases[self._worker()]
        relay.delay(0.1)
        await asyncio.sleep(2.0)
        relay.pass_on()

    async def _reset_database(self) -> None:
        self._rig.databases[self._process()].reset()

    async def _cancel(self) -> None:
        running = [
            crawl for crawl in self._rig.poller.crawl_ids if self._rig.poller.status(crawl) == "running"
        ]
        if running:
            await self._rig.cancel(self._random.choice(running))
