"""Crawls: accepted, read, listed, cancelled, expired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.errors import InvalidRequest, NotCancellable, NotFound, RateLimited
from crawler.model import CrawlStatus, CrawlView, Found, Kind, Role, UrlStatus
from crawler.store.database import Database, now
from crawler.store.finish import lock_crawls
from crawler.store.hosts import Hosts, wake
from crawler.store.schema import accounts, crawls, urls
from crawler.store.secrets import Secrets
from crawler.store.transitions import append_event, end_crawl

#: A repeated request counts as a client's retry only so long, milliseconds.
_RETRY_WINDOW_MS = 120_000
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class NewCrawl:
    """What is needed to accept a crawl. `options` is the request as JSON, as it will be read by the workers."""

    account_id: str
    seed: Found
    options: str
    kind: Kind
    url_limit: int
    max_depth: int
    #: robots.txt of the seed's origin, where the sitemaps are named; None: no sitemaps are read.
    discovery: Found | None
    request_hash: str
    #: See `crawler.recrawl.shape`.
    fingerprint: str = ""
    #: The part of the request that is kept encrypted, as JSON; None: there is none.
    secret: str | None = None
    idempotency_key: str | None = None
    #: The client says that it repeats a request whose answer it did not get.
    is_retry: bool = False
    #: The crawl that this one continues or retries.
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Quotas:
    """Limits of one account; 0 means none."""

    max_running: int = 0
    max_daily: int = 0


class Crawls:
    """Crawls of one database."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        secrets: Secrets,
        *,
        max_crawl_ms: int,
        retention_ms: int,
    ) -> None:
        self._database = database
        self._hosts = hosts
        self._secrets = secrets
        self._max_crawl_ms = max_crawl_ms
        self._retention_ms = retention_ms
        dialect = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(crawls).on_conflict_do_nothing().returning(crawls.c.id)
        self._insert_account = dialect.insert(accounts).on_conflict_do_nothing()

    async def create(self, new: NewCrawl, quotas: Quotas) -> str:
        """Accept a crawl: when this returns its id, it is durable. A repeat of a request that is known by its
        idempotency key, or that the client marks as a retry, returns the id given before.

        Raises InvalidRequest for a key used with another request, RateLimited when a quota is used up.
        """
        host_id = await self.host_of(new)
        async with self._database.write() as connection:
            return await self.insert(connection, new, quotas, host_id)

    async def host_of(self, new: NewCrawl) -> int:
        """The host that `insert` needs, made in a transaction of its own if it is new."""
        return (await self._hosts.ensure([new.seed.host]))[new.seed.host]

    async def insert(self, connection: AsyncConnection, new: NewCrawl, quotas: Quotas, host_id: int) -> str:
        """`create` as a part of a larger transaction. After RateLimited that one can go on: nothing was written
        but the account."""
        discoveries = 0 if new.discovery is None else 1
        crawl_id, is_new = await self.insert_row(
            connection, new, quotas, next_seq=2, queued=1, sitemaps_open=discoveries
        )
        if is_new:
            await self._insert_first_urls(connection, crawl_id, new, host_id)
            await wake(connection, self._database, [(host_id, new.kind)])
        return crawl_id

    async def insert_row(
        self, connection: AsyncConnection, new: NewCrawl, quotas: Quotas, **counters: int
    ) -> tuple[str, bool]:
        """The crawl without its URLs, which `counters` count. False when the request was repeated: then the id is
        that of the crawl it has started before. Raises like `create`."""
        known = await self._find_repeated(connection, new)
        if known is not None:
            return known, False
        await connection.execute(self._insert_account.values(id=new.account_id, created_at=now()))
        await self._check_quotas(connection, new.account_id, quotas)
        crawl_id = str(uuid4())
        row = {
            "id": crawl_id,
            "account_id": new.account_id,
            "parent_id": new.parent_id,
            "had_secrets": new.secret is not None,
            "status": CrawlStatus.RUNNING,
            "seed_url": new.seed.url,
            "options": new.options,
            "kind": new.kind,
            "url_limit": new.url_limit,
            "max_depth": new.max_depth,
            "idempotency_key": new.idempotency_key,
            "request_hash": new.request_hash,
            "fingerprint": new.fingerprint,
            **counters,
        }
        stamped = self._insert.values(**row, created_at=now(), deadline_at=now() + self._max_crawl_ms)
        if (await connection.execute(stamped)).first() is None:
            # Another request with the same key was quicker by a moment.
            known = await self._find_repeated(connection, new)
            assert known is not None
            return known, False
        if new.secret is not None:
            await self._secrets.put(connection, crawl_id, new.secret)
        started = {"url": new.seed.url, **({"parent": new.parent_id} if new.parent_id else {})}
        await append_event(connection, crawl_id, "started", started)
        return crawl_id, True

    async def _insert_first_urls(
        self, connection: AsyncConnection, crawl_id: str, new: NewCrawl, host_id: int
    ) -> None:
        # The seed is record 1. Discovery is no record; it is leased first, so that robots.txt is asked first.
        first = [(1, Role.PAGE, new.seed)]
        if new.discovery is not None:
            first.insert(0, (0, Role.DISCOVERY, new.discovery))
        await connection.execute(
            insert(urls),
            [
                {
                    "crawl_id": crawl_id,
                    "seq": seq,
                    "rank": seq,
                    "role": role,
                    "url": found.url,
                    "url_key": found.key,
                    "host_id": host_id,
                    "kind": new.kind,
                    "depth": 0,
                    "status": UrlStatus.QUEUED,
                }
                for seq, role, found in first
            ],
        )

    async def _find_repeated(self, connection: AsyncConnection, new: NewCrawl) -> str | None:
        of_account = select(crawls.c.id, crawls.c.request_hash).where(crawls.c.account_id == new.account_id)
        if new.idempotency_key is not None:
            same_key = of_account.where(crawls.c.idempotency_key == new.idempotency_key)
            row = (await connection.execute(same_key)).first()
            if row is not None and row.request_hash != new.request_hash:
                raise InvalidRequest("Idempotency-Key: this key was used before with another request body")
            return None if row is None else str(row.id)
        if new.is_retry:
            same_request = of_account.where(
                crawls.c.request_hash == new.request_hash, crawls.c.created_at > now() - _RETRY_WINDOW_MS
            ).order_by(crawls.c.created_at.desc())
            row = (await connection.execute(same_request.limit(1))).first()
            return None if row is None else str(row.id)
        return None

    async def _check_quotas(self, connection: AsyncConnection, account_id: str, quotas: Quotas) -> None:
        if not (quotas.max_running or quotas.max_daily):
            return
        # One POST of an account at a time, or two would count the same crawls.
        lock = select(accounts.c.id).where(accounts.c.id == account_id).with_for_update()
        await connection.execute(lock)
        of_account = select(func.count()).where(crawls.c.account_id == account_id)
        if quotas.max_running:
            running = of_account.where(crawls.c.status == CrawlStatus.RUNNING)
            if (await connection.execute(running)).scalar_one() >= quotas.max_running:
                message = f"This account may run {quotas.max_running} crawls at once"
                raise RateLimited(60, message)
        if quotas.max_daily:
            today = of_account.where(crawls.c.created_at >= now() - now() % _DAY_MS)
            if (await connection.execute(today)).scalar_one() >= quotas.max_daily:
                message = f"This account may start {quotas.max_daily} crawls a day"
                raise RateLimited(60, message)

    async def view(self, account_id: str, crawl_id: str) -> CrawlView:
        """The crawl. Raises NotFound, also for another account's: who asks must not learn that it exists."""
        async with self._database.read() as connection:
            return await read_view(connection, account_id, crawl_id)

    async def list_views(
        self, account_id: str, *, status: CrawlStatus | None, before: tuple[int, str] | None, limit: int
    ) -> list[CrawlView]:
        """Crawls of an account, newest first, older than `before` (created_at, id)."""
        statement = select(crawls).where(crawls.c.account_id == account_id)
        if status is not None:
            statement = statement.where(crawls.c.status == status)
        if before is not None:
            created_at, crawl_id = before
            statement = statement.where(
                (crawls.c.created_at < created_at)
                | ((crawls.c.created_at == created_at) & (crawls.c.id < crawl_id))
            )
        statement = statement.order_by(crawls.c.created_at.desc(), crawls.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [_view(row) for row in (await connection.execute(statement)).mappings()]

    async def options(self, crawl_id: str) -> str | None:
        """The request as JSON, None when there is no such crawl any more."""
        async with self._database.read() as connection:
            statement = select(crawls.c.options).where(crawls.c.id == crawl_id)
            return (await connection.execute(statement)).scalar()

    async def reasons(self, account_id: str, crawl_id: str) -> Mapping[str, Mapping[str, int]]:
        """How many records are in each status, by reason; without one under "". Raises NotFound."""
        await self.view(account_id, crawl_id)
        statement = (
            select(urls.c.status, urls.c.reason, func.count().label("number"))
            .where(urls.c.crawl_id == crawl_id, urls.c.role == Role.PAGE)
            .group_by(urls.c.status, urls.c.reason)
        )
        counts: dict[str, dict[str, int]] = {}
        async with self._database.read() as connection:
            for row in await connection.execute(statement):
                status = UrlStatus.QUEUED if row.status == UrlStatus.LEASED else UrlStatus(row.status)
                by_reason = counts.setdefault(str(status), {})
                reason = row.reason if status.has_reason else ""
                by_reason[reason] = by_reason.get(reason, 0) + row.number
        return counts

    async def cancel(self, account_id: str, crawl_id: str) -> None:
        """End a running crawl at its owner's wish. Raises NotFound, NotCancellable."""
        async with self._database.write() as connection:
            await read_view(connection, account_id, crawl_id)
            await lock_crawls(connection, [crawl_id])
            if not await end_crawl(connection, crawl_id, CrawlStatus.CANCELLED_BY_USER, self._retention_ms):
                raise NotCancellable

    async def end(self, crawl_id: str, status: CrawlStatus, error: str | None = None) -> bool:
        """End a running crawl in `status`; False when it had ended before."""
        async with self._database.write() as connection:
            await lock_crawls(connection, [crawl_id])
            return await end_crawl(connection, crawl_id, status, self._retention_ms, error)

    async def overdue(self, limit: int = 100) -> list[str]:
        """Running crawls past their deadline."""
        statement = (
            select(crawls.c.id)
            .where(crawls.c.status == CrawlStatus.RUNNING, crawls.c.deadline_at <= now())
            .limit(limit)
        )
        async with self._database.read() as connection:
            return list((await connection.execute(statement)).scalars())

    async def over_budget(self, browser_ms_per_day: int) -> list[str]:
        """Running rendered crawls of accounts that have used up today's browser time."""
        used = (
            select(crawls.c.account_id)
            .where(crawls.c.created_at >= now() - now() % _DAY_MS)
            .group_by(crawls.c.account_id)
            .having(func.sum(crawls.c.browser_ms) >= browser_ms_per_day)
        )
        statement = select(crawls.c.id).where(
            crawls.c.status == CrawlStatus.RUNNING,
            crawls.c.kind == Kind.RENDER,
            crawls.c.account_id.in_(used),
        )
        async with self._database.read() as connection:
            return list((await connection.execute(statement)).scalars())

    async def expire_leases(self) -> None:
        """Let every lease run out now, so that the next tick takes it back, its attempt counted. Only where no other
        process can hold one: when the embedded process starts, its predecessor is dead."""
        statement = update(urls).where(urls.c.status == UrlStatus.LEASED).values(leased_until_at=0)
        async with self._database.write() as connection:
            await connection.execute(statement)


def is_kept() -> ColumnElement[bool]:
    """Of a crawl: an expired one is gone even before its rows are deleted."""
    return crawls.c.expires_at.is_(None) | (crawls.c.expires_at > now())


_VIEW = select(crawls).where(
    crawls.c.id == bindparam("crawl_id"), crawls.c.account_id == bindparam("account_id"), is_kept()
)


async def read_view(connection: AsyncConnection, account_id: str, crawl_id: str) -> CrawlView:
    """The crawl of this account. Raises NotFound. An expired crawl is gone even before its rows are deleted."""
    row = (
        (await connection.execute(_VIEW, {"crawl_id": crawl_id, "account_id": account_id})).mappings().first()
    )
    if row is None:
        raise NotFound
    return _view(row)


def _view(row: Any) -> CrawlView:
    return CrawlView(
        id=row["id"],
        status=CrawlStatus(row["status"]),
        seed_url=row["seed_url"],
        parent_id=row["parent_id"],
        browser_seconds=row["browser_ms"] / 1000,
        **{
            name: row[name]
            for name in (
                "queued", "completed", "errored", "disallowed", "skipped", "cancelled",
                "created_at", "ended_at", "error",
            )
        },
    )  # fmt: skip
