"""What a claim waits while results past their retention are deleted, batch after batch without a pause."""

from __future__ import annotations

import asyncio
import time
from statistics import median, quantiles

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
from crawler.store.crawls import Crawls
from crawler.store.database import Database
from crawler.store.finish import Finisher
from crawler.store.frontier import Frontier, Politeness
from crawler.store.hosts import Hosts
from crawler.store.secrets import KeyRing, Secrets

_HOSTS = 100
_SLOTS = 16
_CALM_CLAIMS = 300


def claims(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """`pages` records expire at once on each database."""
    del rounds
    rows, checks = [], []
    for database in DATABASES:
        with open_filled(backend, database, pages, hosts=_HOSTS, is_done=True) as filled:
            calm, busy, seconds = asyncio.run(_measure(filled))
        p99 = [quantiles(waits, n=100)[-1] for waits in (calm, busy)]
        times = (median(calm), p99[0], median(busy), p99[1])
        rows.append([database, f"{pages:,}", f"{pages / seconds:,.0f}", *(f"{wait:.1f}" for wait in times)])
        checks.append(at_most(f"claim while records expire / before, p99, {database}", p99[1] / p99[0], 2.0))
    header = ["database", "records", "deleted/s", "before ms", "p99", "meanwhile ms", "p99"]
    print_table(header, rows)
    return checks


async def _measure(filled: Filled) -> tuple[list[float], list[float], float]:
    """Milliseconds of each claim before and while the records are deleted, and how many seconds that took."""
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
        crawls = Crawls(
            database,
            hosts,
            Secrets(database, KeyRing([])),
            max_crawl_ms=1_000_000,
            retention_ms=1_000_000,
        )
        await _queue(database, filled)

        async def claim() -> float:
            started_at = time.perf_counter()
            leases = (await frontier.lease(Kind.STATIC, _SLOTS)).leases
            milliseconds = (time.perf_counter() - started_at) * 1000
            assert leases
            back = [Outcome(lease, UrlStatus.QUEUED, "bench", give_attempt_back=True) for lease in leases]
            await finisher.finish(back)
            return milliseconds

        async def delete() -> None:
            while await crawls.delete_expired():
                pass

        calm = [await claim() for _ in range(_CALM_CLAIMS)]
        async with database.write() as connection:
            await connection.execute(
                text("UPDATE crawls SET expires_at = 1 WHERE id = :id"), {"id": filled.crawl_id}
            )
        started_at = time.perf_counter()
        deleting = asyncio.create_task(delete())
        busy = []
        while not deleting.done():
            busy.append(await claim())
        await deleting
        return calm, busy, time.perf_counter() - started_at


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
