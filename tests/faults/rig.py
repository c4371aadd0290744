"""A whole deployment under test: real processes behind relays, an origin, a reader, and the evidence they leave."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
import psutil
import pytest

from tests.distributed.conftest import TOKEN, Cluster, wait_until
from tests.faults.deployment import GRACE_SECONDS
from tests.faults.evidence import Child, Comparison, Evidence, find_in_rows, read_rows
from tests.faults.invariants import violations
from tests.faults.origin import INTERVALS, Origin
from tests.faults.poller import Poller, read_changes
from tests.faults.relay import Relay

#: The secret of a crawl; it may be nowhere.
MARKER = "marker-of-the-fault-harness"
_SCHEDULES_ARE_OVER = """
SELECT NOT EXISTS (SELECT 1 FROM schedules WHERE next_due_at IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM schedule_runs WHERE status = 'queued')
"""
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
    #: Where the crawls of a schedule start, by its id.
    schedules: dict[str, str] = field(default_factory=dict)
    #: Ids of runs that a client asked for.
    runs: set[int] = field(default_factory=set)
    continued: dict[str, Child] = field(default_factory=dict)

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
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30, verify=False) as client:
            crawl_id = await self.try_post(client, host=host, size=size)
        assert crawl_id is not None
        return crawl_id

    async def post_secret(self) -> str:
        """Start a crawl that holds a secret and that nobody works on: it is rendered, and no worker here renders."""
        fields: dict[str, Any] = {"render": True, "setExtraHTTPHeaders": {"x-secret": MARKER}}
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30, verify=False) as client:
            crawl_id = await self.try_post(client, host="h2.test", size=1, **fields)
        assert crawl_id is not None
        return crawl_id

    async def try_post(
        self,
        client: httpx.AsyncClient,
        *,
        host: str = "h0.test",
        size: int = 15,
        url: str | None = None,
        **fields: Any,
    ) -> str | None:
        """A crawl over a new tree, or from `url`. None when the answer is that something is away."""
        url = url or self.origin.url(host, f"t{uuid.uuid4().hex[:8]}", size)
        answer = await client.post(self.poller.base_url, json=self.body(url, **fields))
        if answer.status_code == 503:
            return None
        assert answer.status_code == 200, answer.text
        crawl_id: str = answer.json()["result"]
        self.accept(crawl_id, url)
        return crawl_id

    def body(self, url: str, **fields: Any) -> dict[str, Any]:
        """The request of a crawl."""
        return {"url": url, "render": False, "source": "links", "limit": 100, **fields}

    def accept(self, crawl_id: str, url: str) -> None:
        """Have a crawl that was answered read from now on."""
        self.accepted[crawl_id] = url
        if crawl_id not in self.poller.crawl_ids:
            self.poller.crawl_ids.append(crawl_id)

    async def read_all_crawls(self) -> None:
        """Have also those read that no answer named: it was lost, or a schedule started them."""
        connection = await asyncpg.connect(self.database_url)
        try:
            for row in await connection.fetch("SELECT id FROM crawls ORDER BY created_at"):
                if row["id"] not in self.poller.crawl_ids:
                    self.poller.crawl_ids.append(row["id"])
        finally:
            await connection.close()

    def path(self, crawl_id: str, number: int = 0) -> str:
        """The path of one page of a crawl's tree."""
        return urlsplit(self.accepted[crawl_id]).path.removesuffix("0") + str(number)

    async def cancel(self, crawl_id: str) -> int:
        """DELETE it. Returns the HTTP status."""
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30, verify=False) as client:
            answer = await client.delete(f"{self.poller.base_url}/{crawl_id}")
        if answer.status_code == 200:
            self.cancelled_at[crawl_id] = time.time()
        return answer.status_code

    async def ended(self, *crawl_ids: str, seconds: float = 90) -> None:
        """Wait until the reader has seen the end of these crawls, or of all that it reads, schedules' too."""
        if self.schedules:
            await self.found(_SCHEDULES_ARE_OVER, "the end of the schedules", seconds)
            await self.read_all_crawls()
        for crawl_id in crawl_ids or tuple(dict.fromkeys([*self.accepted, *self.poller.crawl_ids])):
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
        # A crawl that gave way to the next one of its schedule was cancelled by nobody's DELETE.
        evidence.cancelled_at = {
            crawl.id: crawl.ended_at / 1000
            for crawl in evidence.crawls
            if crawl.ended_at is not None and crawl.status.startswith("cancelled")
        } | self.cancelled_at
        evidence.accepted_schedules = frozenset(self.schedules)
        evidence.accepted_runs = frozenset(self.runs)
        evidence.histories = tuple(self.poller.histories)
        evidence.grace = GRACE_SECONDS * 1000
        evidence.children = self.continued
        evidence.bad_answers = tuple(self.poller.bad_answers)
        evidence.canary_hits = self.origin.canary_hits
        logs = [path.name for path in self.cluster.folder.glob("*.log") if MARKER in path.read_text()]
        evidence.leaks = [*logs, *await find_in_rows(self.database_url, MARKER)]
        return evidence

    async def comparisons(self) -> list[Comparison]:
        """What the API tells of every crawl that was read about the changes since the one before."""
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30, verify=False) as client:
            return [
                await read_changes(client, self.poller.base_url, crawl_id)
                for crawl_id in self.poller.crawl_ids
            ]

    async def check(self, *, with_changes: bool = False) -> Evidence:
        """Wait for the end of everything, then hold it against every invariant; `with_changes`: ask the API what has
        changed between crawls of the same pages, too."""
        await self.ended()
        evidence = await self.evidence()
        if with_changes:
            evidence.comparisons = await self.comparisons()
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


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _replaced(url: str, port: int, userinfo: str | None = None) -> str:
    parts = urlsplit(url)
    user = userinfo or parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
