"""A whole deployment under test: real processes behind relays, an origin, a reader, and the evidence they leave."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import psutil
import pytest

from tests.distributed.conftest import TOKEN, Cluster, wait_until
from tests.faults.evidence import Evidence, find_in_rows, read_rows
from tests.faults.invariants import violations
from tests.faults.origin import INTERVALS, Origin
from tests.faults.poller import Poller
from tests.faults.relay import Relay

LEASE_SECONDS = 3.0
#: The secret of a crawl; it may be nowhere.
MARKER = "marker-of-the-fault-harness"
_PASSWORD = uuid.uuid4().hex


@dataclass
class Rig:
    """The deployment. Each started process gets relays of its own to Postgres and Redis, and a name of its own that
    it shows to the database and to the origin."""

    cluster: Cluster
    origin: Origin
    database_url: str
    redis_url: str
    stack: ExitStack
    databases: dict[str, Relay] = field(default_factory=dict)
    brokers: dict[str, Relay] = field(default_factory=dict)
    users: list[str] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    cancelled_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.poller = self.stack.enter_context(Poller(self.cluster.base_url, TOKEN))

    # --- processes ------------------------------------------------------------------------------------------------

    async def start_api(self) -> None:
        await self._connect("api")
        await asyncio.to_thread(self.cluster.start_api)

    async def start_worker(self, name: str, *, wait: bool = True) -> None:
        """Start a worker and wait until it has a child."""
        await self._connect(name)
        self.cluster.start(name, "worker", "--kind", "static")
        if wait:
            await self.until(lambda: bool(self.children(name)), f"worker {name} has a child")

    async def start_scheduler(self, name: str = "scheduler") -> None:
        await self._connect(name)
        self.cluster.start(name, "scheduler")

    def children(self, name: str) -> list[psutil.Process]:
        """The processes below one, without those that have just ended."""
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.cluster.processes[name].pid).children(recursive=True)
            return [process for process in below if process.status() != psutil.STATUS_ZOMBIE]
        return []

    def signal_tree(self, name: str, signum: signal.Signals) -> None:
        """Signal a process and everything below it."""
        for process in [psutil.Process(self.cluster.processes[name].pid), *self.children(name)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signum)

    def kill_children(self, name: str) -> None:
        """SIGKILL what is below a worker; its parent starts it anew."""
        for process in self.children(name):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    async def _connect(self, name: str) -> None:
        """Relays of this process, and a user whose changes can be told from others'."""
        if name not in self.databases:
            self.databases[name] = self.stack.enter_context(Relay(_port(self.database_url)))
            self.brokers[name] = self.stack.enter_context(Relay(_port(self.redis_url)))
        user = f"{name}_{uuid.uuid4().hex[:12]}"
        await self.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{_PASSWORD}'")
        self.users.append(user)
        database = _replaced(self.database_url, self.databases[name].port, f"{user}:{_PASSWORD}")
        self.cluster.environment["CRAWL_DATABASE_URL"] = database
        self.cluster.environment["CRAWL_USER_AGENT"] = f"OpenCrawl/0.1 {user}"
        self.cluster.environment["CRAWL_BROKER_URL"] = _replaced(self.redis_url, self.brokers[name].port)

    # --- crawls ---------------------------------------------------------------------------------------------------

    async def post(self, *, host: str = "h0.test", size: int = 15) -> str:
        """Start a crawl over a tree of its own and have it read from now on. Returns its id."""
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30) as client:
            crawl_id = await self.try_post(client, host=host, size=size)
        assert crawl_id is not None
        return crawl_id

    async def post_secret(self) -> str:
        """Start a crawl that holds a secret and that nobody works on: it is rendered, and no worker here renders."""
        fields = {"render": True, "setExtraHTTPHeaders": {"x-secret": MARKER}}
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30) as client:
            crawl_id = await self.try_post(client, host="h2.test", size=1, **fields)
        assert crawl_id is not None
        return crawl_id

    async def try_post(
        self, client: httpx.AsyncClient, *, host: str, size: int, **fields: object
    ) -> str | None:
        """None when the answer is that something is away."""
        url = self.origin.url(host, f"t{uuid.uuid4().hex[:8]}", size)
        body = {"url": url, "render": False, "source": "links", "limit": 100, **fields}
        answer = await client.post(self.poller.base_url, json=body)
        if answer.status_code == 503:
            return None
        assert answer.status_code == 200, answer.text
        crawl_id: str = answer.json()["result"]
        self.accepted[crawl_id] = url
        self.poller.crawl_ids.append(crawl_id)
        return crawl_id

    def path(self, crawl_id: str, number: int = 0) -> str:
        """The path of one page of a crawl's tree."""
        return urlsplit(self.accepted[crawl_id]).path.removesuffix("0") + str(number)

    async def cancel(self, crawl_id: str) -> int:
        """DELETE it. Returns the HTTP status."""
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30) as client:
            answer = await client.delete(f"{self.poller.base_url}/{crawl_id}")
        if answer.status_code == 200:
            self.cancelled_at[crawl_id] = time.time()
        return answer.status_code

    async def ended(self, *crawl_ids: str, seconds: float = 90) -> None:
        """Wait until the reader has seen the end of these crawls, or of all."""
        for crawl_id in crawl_ids or tuple(self.accepted):
            await self.until(
                lambda crawl_id=crawl_id: self.poller.status(crawl_id) not in {"", "running"},  # type: ignore[misc]
                f"the end of crawl {crawl_id}",
                seconds,
            )

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        await asyncio.to_thread(wait_until, condition, what, seconds)

    async def execute(self, statement: str) -> str:
        """Run a statement with the database's own user, past all relays."""
        connection = await asyncpg.connect(self.database_url)
        try:
            result: str = await connection.execute(statement)
        finally:
            await connection.close()
        return result

    async def found(self, query: str, what: str, seconds: float = 60) -> object:
        """Wait until a query has a value that is neither NULL nor false, and return it."""
        connection = await asyncpg.connect(self.database_url)
        try:
            ends_at = time.monotonic() + seconds
            while not (value := await connection.fetchval(query)):
                if time.monotonic() > ends_at:
                    pytest.fail(f"not within {seconds:g} s: {what}")
                await asyncio.sleep(0.02)
            return value
        finally:
            await connection.close()

    async def value(self, query: str) -> object:
        """The one value of a query."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    # --- the verdict ----------------------------------------------------------------------------------------------

    async def evidence(self) -> Evidence:
        evidence = await read_rows(self.database_url)
        evidence.requests = tuple(self.origin.requests)
        evidence.intervals = INTERVALS
        evidence.walks = tuple(self.poller.walks)
        evidence.accepted = frozenset(self.accepted)
        evidence.cancelled_at = self.cancelled_at
        evidence.bad_answers = tuple(self.poller.bad_answers)
        evidence.canary_hits = self.origin.canary_hits
        logs = [path.name for path in self.cluster.folder.glob("*.log") if MARKER in path.read_text()]
        evidence.leaks = [*logs, *await find_in_rows(self.database_url, MARKER)]
        return evidence

    async def check(self) -> Evidence:
        """Wait for the end of everything, then hold it against every invariant."""
        await self.ended()
        evidence = await self.evidence()
        found = violations(evidence)
        assert not found, "\n".join(found)
        return evidence

    async def close(self) -> None:
        """End the processes, see that nothing of them is left (I9), and remove their users."""
        for name in self.cluster.processes:
            self.signal_tree(name, signal.SIGCONT)
        for relay in (*self.databases.values(), *self.brokers.values()):
            relay.pass_on()
        self.origin.release()
        below = [process for name in self.cluster.processes for process in self.children(name)]
        await asyncio.to_thread(self.cluster.close)
        left = await asyncio.to_thread(psutil.wait_procs, below, 15)
        for process in left[1]:
            process.kill()
        for user in self.users:
            await self.execute(f"DROP ROLE {user}")
        assert left[1] == [], "I9: processes are left behind"


def make_cluster(folder: Path, port: int, origin: Origin, tree: Path) -> Cluster:
    """A deployment of `tree` without processes; leases are short, so that faults cost seconds."""
    environment = {
        **os.environ,
        **origin.environment,
        "CRAWL_DATA_DIR": str(folder / "data"),
        "CRAWL_API_TOKEN": TOKEN,
        "CRAWL_SECRET_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "CRAWL_LEASE_SECONDS": str(LEASE_SECONDS),
        "CRAWL_TICK_SECONDS": "0.5",
        "CRAWL_PUMP_SECONDS": "3",
        "CRAWL_STATIC_SLOTS": "8",
        "CRAWL_STOP_SECONDS": "5",
        "CRAWL_RATE_LIMIT_PER_SECOND": "0",
        # All hosts of the origin are at one address: with turns there they could hardly meet at a host.
        "CRAWL_ADDRESS_REQUESTS_PER_SECOND": "0",
        "CRAWL_EGRESS_ALLOWED_PORTS": "1-65535",
        "CRAWL_ALLOW_UNSANDBOXED": "1",
    }
    return Cluster(environment, folder, port, tree)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _replaced(url: str, port: int, userinfo: str | None = None) -> str:
    parts = urlsplit(url)
    user = userinfo or parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
