"""Sitemaps of a crawl at its limit: they wait while a page may still give its place back, and are dropped then."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, null, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import Outcome, Role, UrlStatus
from crawler.store.crawl_row import CrawlRow
from crawler.store.schema import urls

#: Added to `not_before_at` of a sitemap that waits for room, milliseconds: the frontier passes over it. After a jump of
#: the clock it may be read too early, which costs a request.
_NEVER = 2**62


async def settle_sitemaps(
    connection: AsyncConnection, crawl: CrawlRow, outcomes: Sequence[Outcome]
) -> set[tuple[int, str]]:
    """Let the crawl's open sitemaps wait, go on or be dropped, once these outcomes have been admitted. Returns the
    (host, kind) pairs with sitemaps that go on."""
    if crawl.sitemaps_open == 0:
        return set()
    if crawl.room:
        return await _go_on(connection, crawl) if crawl.was_full else set()
    if crawl.queued == 0:
        await _drop(connection, crawl)
    elif not crawl.was_full or _has_others(outcomes):
        # Each time anew would look through the whole queue.
        waiting = update(urls).where(_queued_sitemaps(crawl), urls.c.not_before_at < _NEVER)
        await connection.execute(waiting.values(not_before_at=urls.c.not_before_at + _NEVER))
    return set()


def _has_others(outcomes: Sequence[Outcome]) -> bool:
    """Whether sitemaps may be queued that do not wait yet: named or handed back just now, or taken over by a child."""
    return not outcomes or any(outcome.lease.role is not Role.PAGE for outcome in outcomes)


async def _go_on(connection: AsyncConnection, crawl: CrawlRow) -> set[tuple[int, str]]:
    statement = (
        update(urls)
        .where(_queued_sitemaps(crawl), urls.c.not_before_at >= _NEVER)
        .values(not_before_at=urls.c.not_before_at - _NEVER)
        .returning(urls.c.host_id, urls.c.kind)
    )
    return {(row.host_id, row.kind) for row in await connection.execute(statement)}


async def _drop(connection: AsyncConnection, crawl: CrawlRow) -> None:
    """No page can give its place back any more: what could only find more of them is not needed."""
    is_open = urls.c.status.in_([UrlStatus.QUEUED, UrlStatus.LEASED])
    await connection.execute(
        update(urls)
        .where(urls.c.crawl_id == crawl.id, is_open, urls.c.role != Role.PAGE)
        .values(status=UrlStatus.CANCELLED, lease_token=null(), leased_until_at=null())
    )
    crawl.sitemaps_open = 0


def _queued_sitemaps(crawl: CrawlRow) -> ColumnElement[bool]:
    return (urls.c.crawl_id == crawl.id) & (urls.c.status == UrlStatus.QUEUED) & (urls.c.role != Role.PAGE)
