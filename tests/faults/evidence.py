"""What a run leaves behind: every change of every URL, the rows, what a client was told, what the origin saw."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from tests.faults.origin import Request

#: Every change of a URL's status, by whom: each process of a test has a database user of its own.
_AUDIT = """
CREATE TABLE audit (
    id bigserial PRIMARY KEY, url_id bigint, was text, became text, reason text, attempts int, given_back bool,
    actor text, at float8
);
CREATE FUNCTION audit_url() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (url_id, was, became, reason, attempts, given_back, actor, at) VALUES (
        NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status, NEW.reason, NEW.attempts,
        TG_OP = 'UPDATE' AND NEW.attempts < OLD.attempts, session_user,
        extract(epoch FROM clock_timestamp())
    );
    RETURN NULL;
END $$;
CREATE TRIGGER urls_audit AFTER INSERT OR UPDATE OF status ON urls FOR EACH ROW EXECUTE FUNCTION audit_url();
"""


#: Of the audit, as `Change` has them.
CHANGE_COLUMNS = "url_id, was, became, reason, attempts, given_back, actor, at"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one URL, in the order in which they were committed per URL."""

    url_id: int
    was: str | None
    became: str
    reason: str
    attempts: int
    given_back: bool
    #: The database user, so the process, that made it.
    actor: str
    at: float


@dataclass(frozen=True, slots=True)
class Url:
    """A row of `urls` at the end."""

    id: int
    crawl_id: str
    role: str
    url: str
    status: str


@dataclass(frozen=True, slots=True)
class Crawl:
    """A row of `crawls` at the end; `counters` by status of records, times in milliseconds since the epoch."""

    id: str
    status: str
    url_limit: int
    counters: Mapping[str, int]
    seed_url: str = ""
    fingerprint: str = ""
    parent_id: str | None = None
    #: That of a crawl of a schedule is the schedule's id.
    request_hash: str = ""
    created_at: int = 0
    ended_at: int | None = None
    #: Seconds.
    max_age: float = 0.0
    incremental: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """One reading of a whole crawl by its cursors, as a client did it."""

    crawl_id: str
    status: str
    total: int
    finished: int
    records: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A row of `schedules` at the end, of an interval. Times and durations are milliseconds."""

    id: str
    interval: int
    #: Intervals are counted from here.
    anchor_at: int
    end_at: int
    next_due_at: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `schedule_runs` at the end."""

    id: int
    schedule_id: str
    due_at: int
    is_manual: bool
    status: str
    reason: str
    crawl_id: str | None
    decided_at: int


@dataclass(frozen=True, slots=True)
class Child:
    """What a client asked for when it let an ended crawl go on."""

    parent_id: str
    #: `retry` or `continue`.
    how: str
    #: Of all pages of the line, where it goes on.
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a client was told about the changes since the crawl before, from all pages of the answer."""

    crawl_id: str
    against: str | None
    counts: Mapping[str, int]
    #: URL and status.
    pages: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Evidence:
    """All of it."""

    crawls: Sequence[Crawl] = ()
    urls: Sequence[Url] = ()
    changes: Sequence[Change] = ()
    requests: Sequence[Request] = ()
    #: Seconds between two requests, by host.
    intervals: Mapping[str, float] = field(default_factory=dict)
    walks: Sequence[Walk] = ()
    #: Ids that were answered to a POST.
    accepted: frozenset[str] = frozenset()
    #: When a DELETE was answered, seconds since the epoch, by crawl.
    cancelled_at: Mapping[str, float] = field(default_factory=dict)
    #: Answers of the API that no client should see: `500 …`.
    bad_answers: Sequence[str] = ()
    canary_hits: int = 0
    #: Where a secret of a crawl was found.
    leaks: Sequence[str] = ()
    schedules: Sequence[Schedule] = ()
    runs: Sequence[Run] = ()
    #: Ids of schedules, and of runs, that were answered to a POST.
    accepted_schedules: frozenset[str] = frozenset()
    accepted_runs: frozenset[int] = frozenset()
    #: What a client read of the runs of a schedule, oldest reading first: run ids and what was said of each.
    histories: Sequence[tuple[str, Mapping[int, Mapping[str, Any]]]] = ()
    #: Due times that are decided later than so many milliseconds may be given up.
    grace: int = 0
    #: By the child's id.
    children: Mapping[str, Child] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()


async def install_audit(database_url: str) -> None:
    """Begin to record, in a migrated Postgres database."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(_AUDIT)
    finally:
        await connection.close()


async def read_rows(database_url: str) -> Evidence:
    """The database's part of the evidence."""
    connection = await asyncpg.connect(database_url)
    try:
        crawls = [crawl_of(row) for row in await connection.fetch("SELECT * FROM crawls")]
        urls = [url_of(row) for row in await connection.fetch("SELECT * FROM urls")]
        changes = [
            Change(**dict(row))
            for row in await connection.fetch(f"SELECT {CHANGE_COLUMNS} FROM audit ORDER BY id")
        ]
        schedules = [_schedule_of(row) for row in await connection.fetch("SELECT * FROM schedules")]
        runs = [Run(**dict(row)) for row in await connection.fetch("SELECT * FROM schedule_runs ORDER BY id")]
    finally:
        await connection.close()
    return Evidence(crawls=crawls, urls=urls, changes=changes, schedules=schedules, runs=runs)


def crawl_of(row: Any) -> Crawl:
    """A row of `crawls`, of either database."""
    counters = ("queued", "completed", "errored", "disallowed", "skipped", "cancelled")
    options = json.loads(row["options"])
    return Crawl(
        row["id"],
        row["status"],
        row["url_limit"],
        {name: row[name] for name in counters},
        row["seed_url"],
        row["fingerprint"],
        row["parent_id"],
        row["request_hash"],
        row["created_at"],
        row["ended_at"],
        options["maxAge"],
        options["incremental"],
    )


def url_of(row: Any) -> Url:
    """A row of `urls`, of either database."""
    return Url(row["id"], row["crawl_id"], row["role"], row["url"], row["status"])


def _schedule_of(row: Any) -> Schedule:
    rule = json.loads(row["rule"])
    end_at = round(datetime.fromisoformat(rule["endAt"]).timestamp() * 1000)
    return Schedule(row["id"], rule["intervalSeconds"] * 1000, row["anchor_at"], end_at, row["next_due_at"])


async def find_in_rows(database_url: str, text: str) -> list[str]:
    """The tables in which `text` occurs, as text or as bytes."""
    connection = await asyncpg.connect(database_url)
    needles = (text, text.encode().hex())
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [
            f"table {table['tablename']}"
            for table in tables
            for needle in needles
            if await connection.fetchval(
                f'SELECT count(*) FROM "{table["tablename"]}" t WHERE t::text LIKE $1', f"%{needle}%"
            )
        ]
    finally:
        await connection.close()
