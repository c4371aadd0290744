"""Databases with as many rows as it takes, written past the store: 1 million URLs in seconds instead of minutes."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg
import zstandard

from bench.backend import Backend
from bench.pages import static_page
from bench.service import ACCOUNT
from crawler import urls
from crawler.store.database import wall_clock_ms
from crawler.store.migrate import upgrade

DATABASES = ("SQLite", "Postgres")

_CRAWL = (
    "id", "account_id", "status", "seed_url", "options", "kind", "url_limit", "max_depth", "request_hash",
    "created_at", "deadline_at", "ended_at", "expires_at", "next_seq", "queued", "completed",
)  # fmt: skip
_URL = (
    "id", "crawl_id", "seq", "role", "url", "url_key", "host_id", "kind", "rank", "depth", "status",
    "http_status", "final_url", "title", "record_bytes", "finished_at",
)  # fmt: skip
_DAY_MS = 86_400_000
#: Above every id that we give, so that the database's own do not meet them.
_FIRST_OWN_ID = 100_000_000


@dataclass(frozen=True, slots=True)
class Filled:
    """A database with one crawl of `count` URLs: half of them on the first of `hosts` hosts, or all on the only one,
    the rest spread evenly over the others."""

    url: str
    crawl_id: str
    count: int
    hosts: int

    def page_url(self, number: int) -> str:
        """The URL of the record with this number, counted from 1."""
        return f"http://{host_name(self.host_of(number))}/page/{number}.html"

    def host_of(self, number: int) -> int:
        """Which host that record is on, counted from 0."""
        return 0 if number % 2 else number // 2 % self.hosts


def host_name(number: int) -> str:
    """The name of the host with this number, counted from 0."""
    return f"host{number:04d}.bench.test"


@contextmanager
def open_filled(
    backend: Backend, database: str, count: int, *, hosts: int, is_done: bool
) -> Iterator[Filled]:
    """A fresh database of either kind with one crawl: all URLs completed with a body of 10 kB, or all queued."""
    with tempfile.TemporaryDirectory(prefix="crawl-bench-") as folder:
        if database == "SQLite":
            url = f"sqlite:///{Path(folder) / 'crawl.db'}"
            upgrade(url)
            filled = Filled(url, str(uuid.uuid4()), count, hosts)
            _fill_sqlite(filled, is_done=is_done)
            yield filled
            return
        with backend.database() as url:
            filled = Filled(url, str(uuid.uuid4()), count, hosts)
            asyncio.run(_fill_postgres(filled, is_done=is_done))
            yield filled


def _fill_sqlite(filled: Filled, *, is_done: bool) -> None:
    connection = sqlite3.connect(filled.url.removeprefix("sqlite:///"))
    try:
        # A file that is written once: nothing to go back to, and the indexes fit into memory.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        for table, columns, rows in _tables(filled, is_done=is_done):
            marks = ", ".join("?" for _ in columns)
            connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'urls'", [_FIRST_OWN_ID])
        connection.commit()
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


async def _fill_postgres(filled: Filled, *, is_done: bool) -> None:
    connection = await asyncpg.connect(filled.url)
    try:
        # No look for what each row refers to: that takes most of the time, and the rows are known to be right.
        await connection.execute("SET session_replication_role = replica")
        for table, columns, rows in _tables(filled, is_done=is_done):
            await connection.copy_records_to_table(table, columns=columns, records=rows)
        await connection.execute(f"SELECT setval(pg_get_serial_sequence('urls', 'id'), {_FIRST_OWN_ID})")
        # Now, or it happens by itself in the middle of the measurement.
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _tables(
    filled: Filled, *, is_done: bool
) -> Iterator[tuple[str, Sequence[str], Iterator[tuple[object, ...]]]]:
    now = wall_clock_ms()
    yield "accounts", ("id", "created_at"), iter([(ACCOUNT, now)])
    yield "crawls", _CRAWL, iter([_crawl_row(filled, now, is_done=is_done)])
    hosts = ((number + 1, host_name(number), not is_done, False) for number in range(filled.hosts))
    yield "hosts", ("id", "name", "waiting_static", "waiting_render"), hosts
    yield "urls", _URL, _url_rows(filled, now, is_done=is_done)
    if is_done:
        body = zstandard.compress(static_page(0, filled.count).encode())
        digests = [sha256(str(number).encode()).digest() for number in range(filled.count)]
        # A content of its own for every page, as on a site where no two pages are the same.
        # They were seen in use long ago.
        contents = ((digest, body, number) for number, digest in enumerate(digests))
        yield "contents", ("digest", "data", "used_at"), contents
        yield "bodies", ("url_id", "html"), ((number, digest) for number, digest in enumerate(digests, 1))


def _crawl_row(filled: Filled, now: int, *, is_done: bool) -> tuple[object, ...]:
    count, ended_at, expires_at = filled.count, now if is_done else None, now + _DAY_MS if is_done else None
    return (
        filled.crawl_id, ACCOUNT, "completed" if is_done else "running", filled.page_url(1),
        '{"url": "http://host0000.bench.test/", "render": false}', "static", 10 * count, 100_000, "",
        now, now + _DAY_MS, ended_at, expires_at, count + 1, 0 if is_done else count, count if is_done else 0,
    )  # fmt: skip


def _url_rows(filled: Filled, now: int, *, is_done: bool) -> Iterator[tuple[object, ...]]:
    status = "completed" if is_done else "queued"
    for number in range(1, filled.count + 1):
        url = filled.page_url(number)
        ended = (200, url, f"Page {number}", 11_000, now) if is_done else (None, None, None, 0, None)
        yield (
            number, filled.crawl_id, number, "page", url, urls.key(url), filled.host_of(number) + 1, "static",
            number, 1, status, *ended,
        )  # fmt: skip
