"""Changes of a crawl's status: conditional, once, each with its event in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import bindparam, func, insert, null, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import CrawlStatus, Role, UrlStatus
from crawler.store.database import now
from crawler.store.schema import crawls, events, urls
from crawler.store.secrets import forget_secret

_APPEND = insert(events).values(
    crawl_id=bindparam("crawl_id"), kind=bindparam("kind"), payload=bindparam("payload"), created_at=now()
)


async def append_event(
    connection: AsyncConnection, crawl_id: str, kind: str, payload: Mapping[str, object]
) -> None:
    """Add one line to the crawl's history. Events carry no page content."""
    await connection.execute(
        _APPEND, {"crawl_id": crawl_id, "kind": kind, "payload": json.dumps(payload, separators=(",", ":"))}
    )


async def end_crawl(
    connection: AsyncConnection,
    crawl_id: str,
    status: CrawlStatus,
    retention_ms: int,
    error: str | None = None,
) -> bool:
    """running -> `status`. URLs that are still open become `cancelled`; their leases are void from now on.

    The caller holds the crawl's row. Returns False, and changes nothing, when the crawl has ended before.
    """
    ended = await connection.execute(
        update(crawls)
        .where(crawls.c.id == crawl_id, crawls.c.status == CrawlStatus.RUNNING)
        .values(status=status, ended_at=now(), expires_at=now() + retention_ms, error=error)
    )
    if ended.rowcount == 0:
        return False
    # In the order of a heartbeat, which knows nothing of the crawl's row.
    leased = select(urls.c.id).where(urls.c.crawl_id == crawl_id, urls.c.status == UrlStatus.LEASED)
    await connection.execute(leased.order_by(urls.c.id).with_for_update(key_share=True))
    open_rows = (urls.c.crawl_id == crawl_id) & urls.c.status.in_([UrlStatus.QUEUED, UrlStatus.LEASED])
    open_pages = (
        await connection.execute(select(func.count()).where(open_rows, urls.c.role == Role.PAGE))
    ).scalar_one()
    await connection.execute(
        update(urls)
        .where(open_rows)
        .values(status=UrlStatus.CANCELLED, lease_token=null(), leased_until_at=null(), finished_at=now())
    )
    await forget_secret(connection, crawl_id)
    await connection.execute(
        update(crawls)
        .where(crawls.c.id == crawl_id)
        .values(
            queued=crawls.c.queued - open_pages,
            cancelled=crawls.c.cancelled + open_pages,
            sitemaps_open=0,
        )
    )
    await append_event(connection, crawl_id, "finished", {"status": status})
    return True
