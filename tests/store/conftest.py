"""The store on both databases: every test of this folder runs on SQLite and on Postgres."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from crawler import urls
from crawler.model import Found, Kind, Lease, Outcome, UrlStatus
from crawler.politeness import Circuit
from crawler.store.admission import Admission
from crawler.store.circuits import Circuits
from crawler.store.crawls import Crawls, NewCrawl, Quotas
from crawler.store.database import Database, wall_clock_ms
from crawler.store.finish import Finisher
from crawler.store.frontier import Frontier, Politeness
from crawler.store.hosts import Hosts
from crawler.store.records import Records
from crawler.store.robots import RobotsFiles
from crawler.store.secrets import KeyRing, Secrets

RETENTION_MS = 1_000_000
LEASE_MS = 60_000
HELD_PAGES = 4


class Clock:
    """The database's clock, which a test may move."""

    def __init__(self) -> None:
        self.offset_ms = 0
        self.database: Database | None = None

    def __call__(self) -> int:
        return wall_clock_ms() + self.offset_ms

    @property
    def sql(self) -> str:
        """The same for Postgres."""
        return f"(extract(epoch FROM clock_timestamp()) * 1000)::bigint + {self.offset_ms}"

    async def advance(self, milliseconds: int) -> None:
        self.offset_ms += milliseconds
        assert self.database is not None
        if not self.database.is_sqlite:
            async with self.database.write() as connection:
                await connection.execute(
                    text(
                        "CREATE OR REPLACE FUNCTION crawl_now() RETURNS bigint LANGUAGE sql VOLATILE AS "
                        f"$$ SELECT {self.sql} $$"
                    )
                )


@dataclass
class Store:
    """All parts of one store, with a default delay of 0.5 s."""

    database: Database
    clock: Clock
    hosts: Hosts
    crawls: Crawls
    frontier: Frontier
    finisher: Finisher
    records: Records
    robots: RobotsFiles

    async def create(
        self,
        url: str = "https://site.test/",
        *,
        limit: int = 100,
        depth: int = 100_000,
        kind: Kind = Kind.STATIC,
        sitemaps: bool = False,
        account: str = "local",
        quotas: Quotas | None = None,
        key: str | None = None,
        request_hash: str = "hash",
        is_retry: bool = False,
        options: str = "{}",
    ) -> str:
        return await self.crawls.create(
            NewCrawl(
                account_id=account,
                seed=found(url),
                options=options,
                kind=kind,
                url_limit=limit,
                max_depth=depth,
                discovery=found(url + "robots.txt") if sitemaps else None,
                request_hash=request_hash,
                idempotency_key=key,
                is_retry=is_retry,
            ),
            quotas or Quotas(),
        )

    async def lease_one(self, kind: Kind = Kind.STATIC) -> Lease:
        """The next URL, whatever the politeness: the clock is moved on."""
        await self.clock.advance(1_000)
        (lease,) = (await self.frontier.lease(kind, 1)).leases
        return lease

    async def hand_back(self, lease: Lease) -> None:
        """Queue a URL again as if it had not been leased."""
        await self.finisher.finish([Outcome(lease, UrlStatus.QUEUED, "turn", give_attempt_back=True)])

    async def urls_with_status(self, crawl_id: str) -> dict[str, str]:
        page = await self.records.read("local", crawl_id, cursor=0, limit=10_000, status=None)
        return {record.url: record.status for record in page.records}


def found(url: str, skip_reason: str = "") -> Found:
    return Found(url, urls.key(url), urls.host_of(url), skip_reason)


def completed(lease: Lease, *links: str) -> Outcome:
    """A page that came, with these links."""
    return Outcome(
        lease,
        UrlStatus.COMPLETED,
        http_status=200,
        final_url=lease.url,
        title="title",
        html=f"<html>{lease.url}</html>",
        found=tuple(found(link) for link in links),
    )


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def store_url(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> str:
    """The URL of an empty, migrated database."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("database_url")
        return url
    path = tmp_path / "crawl.db"
    shutil.copyfile(migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    async with open_store(store_url, Clock()) as opened:
        yield opened


@asynccontextmanager
async def open_store(url: str, clock: Clock) -> AsyncIterator[Store]:
    """A store on this migrated database."""
    async with Database(url, clock=clock) as database:
        clock.database = database
        hosts = Hosts(database, default_delay_ms=500)
        yield Store(
            database=database,
            clock=clock,
            hosts=hosts,
            crawls=Crawls(
                database,
                hosts,
                Secrets(database, KeyRing([])),
                max_crawl_ms=7 * 86_400_000,
                retention_ms=RETENTION_MS,
            ),
            frontier=Frontier(database, Politeness(500, 16), lease_ms=LEASE_MS),
            finisher=Finisher(
                database,
                hosts,
                Admission(database, max_sitemaps=50, max_held_pages=HELD_PAGES),
                Circuits(database, Circuit(opens_after=3, down_after=5, down=timedelta(minutes=10))),
                retention_ms=RETENTION_MS,
            ),
            records=Records(database, page_bytes=10_000_000),
            robots=RobotsFiles(database),
        )
