"""A frontier under any order of calls, and what must be true of it after each: a Hypothesis state machine.

It knows nothing of the store's code but its calls. What it checks it reads from the tables, and what it expects of a
call follows from the rows before it:

I1   a URL is there once, and an ended crawl has none that is open      I5   a host is handed out once per interval
I3   only the newest lease writes; what has ended does not change       I10  never more pages than the limit
I4   attempts are leases that were not handed back, three at most       and the counters of a crawl equal a recount
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from sqlalchemy import Row, select, text

from crawler.errors import NotCancellable
from crawler.model import Kind, Lease, Outcome, Role, UrlStatus
from crawler.store.finish import Finished
from crawler.store.schema import crawls, hosts, urls
from tests.store.conftest import LEASE_MS, Clock, Store, found

HOSTS = ("one.test", "two.test")
INTERVAL_MS = 500
MAX_ATTEMPTS = 3
OPEN = {UrlStatus.QUEUED, UrlStatus.LEASED}
_MOST_CRAWLS = 3
_LONGEST_ROUNDS = 200


class StillClock(Clock):
    """Stands still until it is moved, so that an example can be repeated exactly."""

    def __call__(self) -> int:
        return 1_700_000_000_000 + self.offset_ms

    @property
    def sql(self) -> str:
        return f"{self()}::bigint"


class FrontierMachine(RuleBasedStateMachine):
    """One store, used by any number of workers that may fall silent and come back. Bind `store` and `runner`."""

    store: ClassVar[Store]
    runner: ClassVar[asyncio.Runner]

    crawl_ids = Bundle("crawl_ids")
    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.mine: list[str] = []
        self.tokens: dict[int, str] = {}
        self.attempts: Counter[int] = Counter()
        self.turns: dict[str, int] = {}
        self.ended: dict[int, tuple[Any, ...]] = {}
        self.run(self.clear())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize(target=crawl_ids)
    def begin(self) -> Any:
        return self.discover(HOSTS[0], 6, sitemaps=False)

    async def clear(self) -> None:
        """Begin as every example begins, or Hypothesis could not repeat one."""
        await self.store.hosts.ensure(HOSTS)
        await self.execute("DELETE FROM crawls")
        await self.execute("UPDATE hosts SET waiting_static = false, next_fetch_at = id")

    # --- what may happen --------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.mine) < _MOST_CRAWLS)
    @rule(
        target=crawl_ids,
        host=st.sampled_from(HOSTS),
        limit=st.integers(1, 6),
        sitemaps=st.booleans(),
    )
    def discover(self, host: str, limit: int, sitemaps: bool) -> str:
        url = f"https://{host}/{len(self.mine)}/"
        crawl_id: str = self.run(self.store.create(url, limit=limit, sitemaps=sitemaps))
        self.mine.append(crawl_id)
        return crawl_id

    @rule(
        target=leases, slots=st.integers(1, 4), after_ms=st.sampled_from((0, INTERVAL_MS // 2, INTERVAL_MS))
    )
    def lease(self, slots: int, after_ms: int) -> MultipleResults[Lease]:
        self.wait(after_ms)
        return multiple(*self.run(self.take(slots)))

    @rule(target=leases, slots=st.integers(1, 4))
    def lease_anew(self, slots: int) -> MultipleResults[Lease]:
        """All workers have been silent for long; what they had goes to others."""
        self.expire(LEASE_MS + 6_000)
        return self.lease(slots, 0)

    async def take(self, slots: int) -> tuple[Lease, ...]:
        before = await self.rows()
        granted = (await self.store.frontier.lease(Kind.STATIC, slots)).leases
        for lease in granted:
            assert before[lease.url_id].status == UrlStatus.QUEUED, "I3 what was leased was not free"
            since = self.store.clock() - self.turns.get(lease.host, 0)
            assert since >= INTERVAL_MS, f"I5 {lease.host} was handed out again after {since} ms"
            self.turns[lease.host] = self.store.clock()
            self.tokens[lease.url_id] = lease.token
            self.attempts[lease.url_id] += 1
        return granted

    @rule(lease=leases, links=st.lists(st.tuples(st.sampled_from(HOSTS), st.integers(0, 9)), max_size=5))
    def finish(self, lease: Lease, links: list[tuple[str, int]]) -> None:
        """Any lease, also one that was lost or finished long ago."""
        pages = tuple(found(f"https://{host}/page/{number}") for host, number in links)
        if lease.role is Role.DISCOVERY:
            outcome = Outcome(lease, UrlStatus.COMPLETED, sitemaps=pages[:2])
        else:
            outcome = Outcome(lease, UrlStatus.COMPLETED, http_status=200, found=pages)
        self.run(self.settle(outcome))

    @rule(lease=leases, is_counted=st.booleans())
    def release(self, lease: Lease, is_counted: bool) -> None:
        """Hand a URL back, as at a stop, or after a failure, which ends it after the last attempt."""
        if is_counted and lease.attempt >= MAX_ATTEMPTS:
            outcome = Outcome(lease, UrlStatus.ERRORED, "timeout")
        else:
            outcome = Outcome(lease, UrlStatus.QUEUED, "again", give_attempt_back=not is_counted)
        self.run(self.settle(outcome))

    async def settle(self, outcome: Outcome) -> None:
        lease = outcome.lease
        before = (await self.rows())[lease.url_id]
        is_held = before.status == UrlStatus.LEASED and before.lease_token == lease.token
        done = await self.write(outcome)
        assert (lease.url_id in done.accepted) == is_held, "I3 who does not hold the lease has written"
        if is_held and outcome.give_attempt_back:
            self.attempts[lease.url_id] -= 1

    async def write(self, outcome: Outcome) -> Finished:
        return await self.store.finisher.finish([outcome])

    @rule(lease=leases)
    def hold_on(self, lease: Lease) -> None:
        """A heartbeat."""
        before = self.run(self.rows())[lease.url_id]
        held = self.run(self.store.frontier.extend([lease]))
        assert held == ({lease.url_id} if before.lease_token == lease.token else frozenset())

    @rule(milliseconds=st.sampled_from((INTERVAL_MS // 2, INTERVAL_MS, 5_000)))
    def wait(self, milliseconds: int) -> None:
        self.run(self.store.clock.advance(milliseconds))

    @rule(milliseconds=st.sampled_from((0, LEASE_MS)))
    def expire(self, milliseconds: int) -> None:
        """Time passes, and the tick takes back the leases whose holders are silent."""
        self.run(self.store.clock.advance(milliseconds))
        self.run(self.take_back())

    async def take_back(self) -> None:
        before = await self.rows()
        for lease in await self.store.frontier.take_over():
            until = before[lease.url_id].leased_until_at
            assert until < self.store.clock(), "a lease was taken from a worker that is there"
            self.tokens[lease.url_id] = lease.token
            again = lease.attempt < MAX_ATTEMPTS
            status = UrlStatus.QUEUED if again else UrlStatus.ERRORED
            await self.settle(Outcome(lease, status, "worker_lost"))

    @rule(crawl_id=crawl_ids)
    def cancel(self, crawl_id: str) -> None:
        was = self.run(self.crawl_rows())[crawl_id].status
        try:
            self.run(self.store.crawls.cancel("local", crawl_id))
        except NotCancellable:
            assert was != "running"
        else:
            assert was == "running"

    # --- what must be true ------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        self.run(self.check())

    async def check(self) -> None:
        rows, found_crawls = await self.rows(), await self.crawl_rows()
        names = Counter((row.crawl_id, row.role, row.url_key) for row in rows.values())
        assert set(names.values()) <= {1}, "I1 a URL is there twice"
        for row in rows.values():
            self.check_url(row)
        for crawl in found_crawls.values():
            self.check_crawl(crawl, [row for row in rows.values() if row.crawl_id == crawl.id])

    def check_url(self, row: Row[Any]) -> None:
        # All but the last column, which is the host's.
        known = self.ended.get(row.id)
        assert known is None or known == row[:-1], "I3 what had ended has changed"
        if row.status not in OPEN:
            self.ended[row.id] = row[:-1]
        if row.status == UrlStatus.LEASED:
            assert row.lease_token == self.tokens[row.id], "I3 a lease is held by somebody else"
        assert row.attempts == self.attempts[row.id], "I4 attempts are not counted right"
        assert row.attempts <= MAX_ATTEMPTS, "I4 a URL was tried too often"
        assert row.status != UrlStatus.QUEUED or row.waiting_static, "nobody will look for a queued URL"

    def check_crawl(self, crawl: Row[Any], rows: list[Row[Any]]) -> None:
        is_open = any(row.status in OPEN for row in rows)
        assert is_open == (crawl.status == "running"), "I1 a crawl has ended before its URLs, or after them"
        pages = Counter(str(row.status) for row in rows if row.role == Role.PAGE)
        pages["queued"] += pages.pop("leased", 0)
        for status in ("queued", "completed", "errored", "disallowed", "skipped", "cancelled"):
            counted = getattr(crawl, status)
            assert counted == pages[status], f"a crawl counts {counted} {status}, there are {pages[status]}"
        taken = pages["queued"] + pages["completed"] + pages["errored"] + pages["disallowed"]
        assert taken <= crawl.url_limit, "I10 there are more pages than the limit"

    def teardown(self) -> None:
        """I2: whatever has happened, plain work brings every crawl to its end."""
        if sys.exception() is not None:
            return  # something is wrong already, and that is what is to be told
        self.run(self.work_to_the_end())
        self.run(self.check())
        assert all(crawl.status != "running" for crawl in self.run(self.crawl_rows()).values()), "I2"

    async def work_to_the_end(self) -> None:
        await self.store.clock.advance(LEASE_MS + 6_000)
        await self.take_back()
        for _ in range(_LONGEST_ROUNDS):
            if not any(row.status in OPEN for row in (await self.rows()).values()):
                return
            await self.store.clock.advance(5_000)
            for lease in await self.take(4):
                await self.settle(Outcome(lease, UrlStatus.COMPLETED, http_status=200))

    # --- the tables -------------------------------------------------------------------------------------------

    async def rows(self) -> dict[int, Row[Any]]:
        """The URLs of this example's crawls."""
        columns = (
            urls.c.id, urls.c.crawl_id, urls.c.role, urls.c.url_key, urls.c.status, urls.c.reason, urls.c.attempts,
            urls.c.lease_token, urls.c.leased_until_at, urls.c.finished_at,
        )  # fmt: skip
        statement = select(*columns, hosts.c.waiting_static).join_from(
            urls, hosts, urls.c.host_id == hosts.c.id
        )
        async with self.store.database.read() as connection:
            found_rows: Iterable[Row[Any]] = await connection.execute(
                statement.where(urls.c.crawl_id.in_(self.mine))
            )
            return {row.id: row for row in found_rows}

    async def crawl_rows(self) -> dict[str, Row[Any]]:
        async with self.store.database.read() as connection:
            found_rows = await connection.execute(select(crawls).where(crawls.c.id.in_(self.mine)))
            return {row.id: row for row in found_rows}

    async def execute(self, statement: str, **parameters: object) -> None:
        async with self.store.database.write() as connection:
            await connection.execute(text(statement), parameters)


# --- bugs, for the proof that the machine would see them ------------------------------------------------------


class NoFence(FrontierMachine):
    """A finish takes whatever lease there is for its own."""

    async def write(self, outcome: Outcome) -> Finished:
        row = (await self.rows())[outcome.lease.url_id]
        lease = replace(outcome.lease, token=row.lease_token or outcome.lease.token)
        return await super().write(replace(outcome, lease=lease))


class NoLease(FrontierMachine):
    """A finish asks for no lease."""

    async def write(self, outcome: Outcome) -> Finished:
        await self.execute(
            "UPDATE urls SET status = 'leased', lease_token = :token, leased_until_at = 0 "
            "WHERE id = :id AND status = 'queued'",
            id=outcome.lease.url_id,
            token=outcome.lease.token,
        )
        return await super().write(outcome)


class CountsTwice(FrontierMachine):
    """A page that is done counts for two."""

    async def write(self, outcome: Outcome) -> Finished:
        done = await super().write(outcome)
        if done.accepted and outcome.status is UrlStatus.COMPLETED and outcome.lease.role is Role.PAGE:
            # Where there is room: the table itself refuses a count beyond the limit.
            await self.execute(
                "UPDATE crawls SET completed = completed + 1 "
                "WHERE id = :id AND queued + completed + errored + disallowed < url_limit",
                id=outcome.lease.crawl_id,
            )
        return done


class NoInterval(FrontierMachine):
    """A host is due at any time."""

    async def take(self, slots: int) -> tuple[Lease, ...]:
        await self.execute("UPDATE hosts SET next_fetch_at = 0")
        return await super().take(slots)


class FreeAttempts(FrontierMachine):
    """A lease that was lost does not count."""

    async def take_back(self) -> None:
        await self.execute("UPDATE urls SET attempts = 0 WHERE status = 'leased'")
        await super().take_back()


class NoWake(FrontierMachine):
    """What is queued is not made known."""

    async def write(self, outcome: Outcome) -> Finished:
        done = await super().write(outcome)
        await self.execute("UPDATE hosts SET waiting_static = false")
        return done
