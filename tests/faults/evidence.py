"""What a run leaves behind: every change of every URL, the rows, what a client was told, what the origin saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    """A row of `crawls` at the end; `counters` by status of records."""

    id: str
    status: str
    url_limit: int
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Walk:
    """One reading of a whole crawl by its cursors, as a client did it."""

    crawl_id: str
    status: str
    total: int
    finished: int
    records: tuple[Mapping[str, Any], ...]


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
    finally:
        await connection.close()
    return Evidence(crawls=crawls, urls=urls, changes=changes)


def crawl_of(row: Any) -> Crawl:
    """A row of `crawls`, of either database."""
    counters = ("queued", "completed", "errored", "disallowed", "skipped", "cancelled")
    return Crawl(row["id"], row["status"], row["url_limit"], {name: row[name] for name in counters})


def url_of(row: Any) -> Url:
    """A row of `urls`, of either database."""
    return Url(row["id"], row["crawl_id"], row["role"], row["url"], row["status"])


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
