"""The crawl before: the one whose pages a crawl asks about, and is compared with."""

from __future__ import annotations

from sqlalchemy import JSON, Text, and_, bindparam, cast, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import CrawlStatus
from crawler.store.crawls import is_kept
from crawler.store.schema import crawls

_later = crawls.alias("later")
_PREVIOUS = (
    select(crawls.c.id)
    .join(
        _later,
        and_(
            _later.c.account_id == crawls.c.account_id,
            _later.c.seed_url == crawls.c.seed_url,
            _later.c.fingerprint == crawls.c.fingerprint,
        ),
    )
    .where(
        _later.c.id == bindparam("crawl_id"),
        or_(
            crawls.c.created_at < _later.c.created_at,
            and_(crawls.c.created_at == _later.c.created_at, crawls.c.id < _later.c.id),
        ),
        crawls.c.status == CrawlStatus.COMPLETED,
        # What goes on from another crawl has only the pages that were missing there.
        crawls.c.parent_id.is_(None),
        # Of what it left out it has no record. The column is text; SQLite reads JSON from that, Postgres does not.
        cast(crawls.c.options, JSON().with_variant(Text(), "sqlite"))["modifiedSince"].as_string().is_(None),
        is_kept(),
    )
    .order_by(crawls.c.created_at.desc(), crawls.c.id.desc())
    .limit(1)
)


async def find_previous(connection: AsyncConnection, crawl_id: str) -> str | None:
    """The newest completed crawl before this one of the same account, start and shape that began at the start and had
    no `modifiedSince`: what an incremental crawl asks about and what changes are told against."""
    return (await connection.execute(_PREVIOUS, {"crawl_id": crawl_id})).scalar()
