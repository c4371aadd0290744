"""What a claim waits while results past their retention are deleted, batch after batch as a tick does it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from sqlalchemy import text

from bench.backend import Backend
from bench.fill import DATABASES, Filled, open_filled
from bench.report import Check, at_most, print_table
from bench.service import ACCOUNT
from crawler.model import Kind, Outcome, UrlStatus
from crawler.politeness import Circuit
from crawler.settings import Settings
from crawler.store.admission import Admission
from crawler.store.circuits import Circuits
from crawler.store.database import Database
from crawler.store.finish import Finisher
from crawler.store.frontier import Frontier, Politeness
from crawler.store.hosts import Hosts
from crawler.store.retention import BatchLimits, Deleted, Retention

_HOSTS = 100
_SLOTS = 16
#: Before and after.
_CALM_CLAIMS = 500


def claims(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """`pages` records expire at once on each database, and then their texts go."""
    del rounds
    rows, checks = [], []
    for database in DATABASES:
        with open_filled(backend, database, pages, hosts=_HOSTS, is_done=True) as filled:
            calm, phases = asyncio.run(_measure(filled))
        before = quantiles(calm, n=100)[-1]
        for phase in phases:
            p99 = quantiles(phase.waits, n=100)[-1]
            deleted = phase.deleted
            rows.append(
                [
                    database,
                    f"{deleted.rows:,} {phase.what}",
                    f"{phase.seconds:.0f}",
                    f"{deleted.rows / deleted.batches:.0f}",
                    f"{deleted.longest_seconds * 1000:.0f}",
                    *(f"{wait:.1f}" for wait in (median(calm), before, median(phase.waits), p99)),
                ]
            )
            checks.append(
                at_most(f"claim while {phase.what} go / without, p99, {database}", p99 / before, 2.0)
            )
    header = [
        "database", "deleted", "seconds", "rows per batch", "longest ms", "claim before, ms", "p99", "meanwhile",
        "p99",
    ]  # fmt: skip
    print_table(header, rows)
    return checks


@dataclass(frozen=True, slots=True)
class _Phase:
    """What was deleted, and milliseconds of each claim meanwhile."""

    what: str
    deleted: Deleted
    seconds: float
    waits: list[float]


async def _measure(filled: Filled) -> tuple[list[float], list[_Phase]]:
    """Milliseconds of each claim before and after, and what was measured while something was deleted."""
    settings = Settings.load()
    async with Database(filled.url) as database:
        hosts = Hosts(database, default_delay_ms=0)
        frontier = Frontier(database, Politeness(0, _SLOTS), lease_ms=60_000)
        finisher = Finisher(
            database,
            hosts,
            Admission(database, max_sitemaps=1, max_held_pages=1),
            Circuits(database, Circuit.load(settings)),
            retention_ms=1_000_000,
        )
        retention = Retention(database, BatchLimits(settings.expiry_batch_rows, settings.expiry_batch_ms))
        await _queue(database, filled)

        async def claim() -> float:
            started_at = time.perf_counter()
            leases = (await frontier.lease(Kind.STATIC, _SLOTS)).leases
            milliseconds = (time.perf_counter() - started_at) * 1000
            assert leases
            back = [Outcome(lease, UrlStatus.QUEUED, "bench", give_attempt_back=True) for lease in leases]
            await finisher.finish(back)
            return milliseconds

        async def claim_while(what: str, deleting: Coroutine[Any, Any, Deleted]) -> _Phase:
            started_at = time.perf_counter()
            task = asyncio.create_task(deleting)
            waits = []
            while not task.done():
                waits.append(await claim())
            return _Phase(what, await task, time.perf_counter() - started_at, waits)

        calm = [await claim() for _ in range(_CALM_CLAIMS)]
        async with database.write() as connection:
            expire = text("UPDATE crawls SET expires_at = 1 WHERE id = :id")
            await connection.execute(expire, {"id": filled.crawl_id})
        phases = [
            await claim_while("records", retention.delete_expired(budget_seconds=math.inf)),
            await claim_while("texts", retention.delete_unused_texts(budget_seconds=math.inf)),
        ]
        return calm + [await claim() for _ in range(_CALM_CLAIMS)], phases


async def _queue(database: Database, filled: Filled) -> None:
    """A crawl with one page queued on each host."""
    crawl = {"id": "running", "account": ACCOUNT, "url": filled.page_url(1), "pages": _HOSTS}
    columns = (
        "id, account_id, status, seed_url, options, kind, url_limit, max_depth, request_hash, created_at"
    )
    async with database.write() as connection:
        await connection.execute(
            text(
                f"INSERT INTO crawls ({columns}, deadline_at, queued) VALUES (:id, :account, 'running', :url, '{{}}',"
                " 'static', :pages, 1, '', crawl_now(), crawl_now() + 86400000, :pages)"
            ),
            crawl,
        )
        await connection.execute(
            text(
                "INSERT INTO urls (crawl_id, seq, role, url, url_key, host_id, kind, rank, depth, status)"
                " SELECT 'running', id, 'page', 'http://' || name || '/', CAST(id AS varchar), id, 'static', id, 1,"
                " 'queued' FROM hosts"
            )
        )
        await connection.execute(text("UPDATE hosts SET waiting_static = true"))
