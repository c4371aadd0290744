"""Copies: completed pages of earlier crawls, for crawls that may take them instead of fetching."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, func, select

from crawler.model import Role, Stored, UrlStatus
from crawler.store.contents import select_bodies, unpack, unpack_links
from crawler.store.crawls import is_kept
from crawler.store.database import Database, now
from crawler.store.previous import find_previous
from crawler.store.schema import bodies, crawls, urls

_FIELDS = (
    urls.c.http_status, urls.c.final_url, urls.c.title, urls.c.last_modified, urls.c.etag, urls.c.details,
    urls.c.content_hash, urls.c.reuse_key, urls.c.confirmed, urls.c.steady_ms, urls.c.asked_at,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    """What a crawl can take from others. Its account is part of the fingerprint."""

    fingerprint: str
    #: The crawl before, see `find_previous`.
    previous_id: str | None
    #: Whether there is any other crawl of the same shape: without one no copy needs to be looked for.
    has_others: bool


class Copies:
    """Completed pages of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A page that was taken over without asking is as old as it was.
        last_asked = func.coalesce(urls.c.asked_at, urls.c.finished_at)
        page = (
            select_bodies()
            .add_columns(bodies.c.links, *_FIELDS, (now() - last_asked).label("age_ms"))
            .join(urls, urls.c.id == bodies.c.url_id)
            .join(crawls, crawls.c.id == urls.c.crawl_id)
            .where(
                urls.c.status == UrlStatus.COMPLETED,
                is_kept(),
            )
        )
        self._newest: Select[Any] = (
            page.where(
                urls.c.reuse_key == bindparam("reuse_key"),
                urls.c.finished_at >= now() - bindparam("max_age_ms"),
            )
            .order_by(urls.c.finished_at.desc())
            .limit(1)
        )
        self._of_crawl: Select[Any] = page.where(
            urls.c.crawl_id == bindparam("crawl_id"),
            urls.c.url_key == bindparam("url_key"),
            urls.c.role == Role.PAGE,
        )

    async def past(self, crawl_id: str) -> Past:
        """What there is for this crawl."""
        own = select(crawls.c.fingerprint).where(crawls.c.id == crawl_id)
        async with self._database.read() as connection:
            fingerprint = (await connection.execute(own)).scalar()
            if not fingerprint:
                return Past("", None, has_others=False)
            same_shape = select(crawls.c.id).where(
                crawls.c.fingerprint == fingerprint, crawls.c.id != crawl_id
            )
            other = (await connection.execute(same_shape.limit(1))).first()
            previous = None if other is None else await find_previous(connection, crawl_id)
        return Past(fingerprint, previous, has_others=other is not None)

    async def newest(self, reuse_key: str, *, max_age_seconds: float) -> Stored | None:
        """The newest page of this key that was fetched or confirmed at most so long ago."""
        parameters = {"reuse_key": reuse_key, "max_age_ms": round(max_age_seconds * 1000)}
        return await self._read(self._newest, parameters)

    async def of_crawl(self, crawl_id: str, url_key: str) -> Stored | None:
        """This page as that crawl has it."""
        return await self._read(self._of_crawl, {"crawl_id": crawl_id, "url_key": url_key})

    async def _read(self, statement: Select[Any], parameters: dict[str, object]) -> Stored | None:
        async with self._database.read() as connection:
            row = (await connection.execute(statement, parameters)).first()
        if row is None:
            return None
        return Stored(
            http_status=row.http_status,
            final_url=row.final_url,
            title=row.title,
            last_modified=row.last_modified,
            etag=row.etag,
            html=unpack(row.html),
            markdown=unpack(row.markdown),
            json=unpack(row.json),
            details={} if row.details is None else json.loads(row.details),
            content_hash=row.content_hash,
            links=unpack_links(row.links),
            reuse_key=row.reuse_key,
            confirmed=row.confirmed,
            steady_ms=row.steady_ms,
            asked_at=row.asked_at,
            age_ms=row.age_ms,
        )
