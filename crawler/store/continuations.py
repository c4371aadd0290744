"""Going on where an ended crawl stopped. Terminal rows never change, so it is another crawl, a *child*, that goes on:
it gets copies of what its parent left undone, with the same places in discovery order, and no secrets.

A *line* is a crawl, what it continues, what that continues, and so on. A child does not crawl what its line has.
"""

from __future__ import annotations

import json

from sqlalchemy import ColumnElement, RowMapping, bindparam, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.errors import InvalidRequest, NotFound
from crawler.model import CrawlStatus, Found, Kind, Role, UrlStatus
from crawler.store.admission import Admission, Admitted, line_of
from crawler.store.crawls import Crawls, NewCrawl, Quotas, read_view
from crawler.store.database import Database
from crawler.store.finish import lock_crawls
from crawler.store.hosts import wake
from crawler.store.schema import crawls, held_links, urls
from crawler.store.secrets import Secrets

_COPIED = (
    urls.c.seq,
    urls.c.rank,
    urls.c.role,
    urls.c.url,
    urls.c.url_key,
    urls.c.host_id,
    urls.c.kind,
    urls.c.depth,
    urls.c.lastmod_at,
)
_DONE = (UrlStatus.COMPLETED, UrlStatus.ERRORED, UrlStatus.DISALLOWED)
#: The lock of a foreign key: pages may still be finished, but nobody may delete the crawl.
_KEEP = (
    select(crawls.c.id)
    .where(crawls.c.id == bindparam("crawl_id"), crawls.c.account_id == bindparam("account_id"))
    .with_for_update(read=True, key_share=True)
)


class Continuations:
    """Children of the crawls of one database."""

    def __init__(self, database: Database, crawls: Crawls, secrets: Secrets, admission: Admission) -> None:
        self._database = database
        self._crawls = crawls
        self._secrets = secrets
        self._admission = admission

    async def retry(
        self, account_id: str, crawl_id: str, quotas: Quotas, *, idempotency_key: str | None
    ) -> tuple[str, Kind]:
        """Crawl the errored pages of an ended crawl again, and nothing else. Returns the child and what works on it.

        Raises NotFound; InvalidRequest when the crawl runs, has no errored page or had secrets; RateLimited.
        """
        async with self._database.write() as connection:
            parent = await self._ended(connection, account_id, crawl_id)
            errored = (urls.c.role == Role.PAGE) & (urls.c.status == UrlStatus.ERRORED)
            number = await _count(connection, crawl_id, errored)
            if number == 0:
                raise InvalidRequest("No page of this crawl ended as errored; there is nothing to retry")
            new = self._child(parent, limit=number, what="retry", idempotency_key=idempotency_key)
            child_id, is_new = await self._crawls.insert_row(
                connection, new, quotas, next_seq=parent["next_seq"], queued=number
            )
            if is_new:
                await self._copy(connection, parent, child_id, errored)
                await self._wake(connection, child_id)
        return child_id, new.kind

    async def go_on(
        self, account_id: str, crawl_id: str, limit: int, quotas: Quotas, *, idempotency_key: str | None
    ) -> tuple[str, Kind]:
        """Crawl what an ended crawl did not come to: its cancelled pages and sitemaps, and the links beyond its limit.
        `limit` is for all pages of the line together. Returns the child and what works on it.

        Raises NotFound; InvalidRequest when the crawl runs, has nothing left, has as many pages as `limit` or had
        secrets; RateLimited.
        """
        async with self._database.write() as connection:
            parent = await self._ended(connection, account_id, crawl_id)
            cancelled = urls.c.status == UrlStatus.CANCELLED
            pages = await _count(connection, crawl_id, cancelled & (urls.c.role == Role.PAGE))
            sitemaps = await _count(connection, crawl_id, cancelled & (urls.c.role != Role.PAGE))
            if not (pages or sitemaps or parent["held"]):
                raise InvalidRequest(
                    "This crawl has come to everything that it found; there is nothing to go on with"
                )
            done = await _count_done(connection, crawl_id)
            least = done + max(1, pages)
            if limit < least:
                message = (
                    f"limit must be at least {least}: {done} pages are done, and {max(1, pages)} or more wait"
                )
                raise InvalidRequest(message)
            new = self._child(parent, limit=limit - done, what="continue", idempotency_key=idempotency_key)
            child_id, is_new = await self._crawls.insert_row(
                connection,
                new,
                quotas,
                next_seq=parent["next_seq"],
                queued=pages,
                sitemaps_open=sitemaps,
                sitemaps_total=parent["sitemaps_total"],
                held=parent["held"],
            )
            if is_new:
                await self._copy(connection, parent, child_id, cancelled)
                await self._copy_held(connection, crawl_id, child_id)
                await self._wake(connection, child_id)
        return child_id, new.kind

    async def _ended(self, connection: AsyncConnection, account_id: str, crawl_id: str) -> RowMapping:
        """The row of an ended crawl, which keeps all that is its until the end of the transaction."""
        # Before the look whether it is kept: whoever is deleting it has done so by then, or waits for us.
        await connection.execute(_KEEP, {"crawl_id": crawl_id, "account_id": account_id})
        view = await read_view(connection, account_id, crawl_id)
        if view.status is CrawlStatus.RUNNING:
            raise InvalidRequest("The crawl job is still running; wait for its end, or cancel it")
        row = (await connection.execute(select(crawls).where(crawls.c.id == crawl_id))).mappings().first()
        if row is None:
            raise NotFound
        if row["had_secrets"]:
            message = (
                "This crawl had cookies, passwords, headers or keys of language models, which are forgotten when a "
                "crawl ends; start a new crawl"
            )
            raise InvalidRequest(message)
        return row

    def _child(self, parent: RowMapping, *, limit: int, what: str, idempotency_key: str | None) -> NewCrawl:
        options = json.loads(parent["options"]) | {"limit": limit}
        return NewCrawl(
            account_id=parent["account_id"],
            seed=Found(parent["seed_url"], "", ""),
            options=json.dumps(options, ensure_ascii=False, separators=(",", ":")),
            kind=Kind(parent["kind"]),
            url_limit=limit,
            max_depth=parent["max_depth"],
            discovery=None,
            request_hash=self._secrets.fingerprint(f"{what} {parent['id']} {limit}"),
            fingerprint=parent["fingerprint"],
            idempotency_key=idempotency_key,
            parent_id=parent["id"],
        )

    async def _copy(
        self, connection: AsyncConnection, parent: RowMapping, child_id: str, which: ColumnElement[bool]
    ) -> None:
        """Queue these URLs of the parent in the child."""
        chosen = select(literal(child_id), literal(UrlStatus.QUEUED.value), *_COPIED).where(
            urls.c.crawl_id == parent["id"], which
        )
        names = ["crawl_id", "status", *(column.name for column in _COPIED)]
        await connection.execute(insert(urls).from_select(names, chosen))

    async def _copy_held(self, connection: AsyncConnection, parent_id: str, child_id: str) -> None:
        """Take over the links that the parent holds, and admit those whose turn has come."""
        columns = (held_links.c.seq, held_links.c.depth, held_links.c.links)
        chosen = select(literal(child_id), *columns).where(held_links.c.crawl_id == parent_id)
        names = ["crawl_id", *(column.name for column in columns)]
        await connection.execute(insert(held_links).from_select(names, chosen))
        crawl = (await lock_crawls(connection, [child_id]))[child_id]
        await self._admission.admit(connection, crawl, [], {}, Admitted())
        if crawl.exhausted:
            raise InvalidRequest(
                "This crawl has come to everything that it found; there is nothing to go on with"
            )
        await connection.execute(update(crawls).where(crawls.c.id == child_id).values(crawl.counters()))

    async def _wake(self, connection: AsyncConnection, child_id: str) -> None:
        statement = (
            select(urls.c.host_id, urls.c.kind)
            .where(urls.c.crawl_id == child_id, urls.c.status == UrlStatus.QUEUED)
            .distinct()
        )
        rows = (await connection.execute(statement)).all()
        await wake(connection, self._database, [(row.host_id, row.kind) for row in rows])


async def _count(connection: AsyncConnection, crawl_id: str, which: ColumnElement[bool]) -> int:
    statement = select(func.count()).where(urls.c.crawl_id == crawl_id, which)
    return int((await connection.execute(statement)).scalar_one())


async def _count_done(connection: AsyncConnection, crawl_id: str) -> int:
    """Pages of the whole line that count towards a limit; one that was retried counts once."""
    statement = select(func.count(urls.c.url_key.distinct())).where(
        urls.c.crawl_id.in_(line_of(crawl_id)), urls.c.role == Role.PAGE, urls.c.status.in_(_DONE)
    )
    return int((await connection.execute(statement)).scalar_one())
