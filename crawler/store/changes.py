"""What became of the pages of one crawl in a later one: read from the rows of both, by URL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Case, ColumnElement, Select, and_, case, exists, func, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.changes import ComparedPage, Comparison, PageChange
from crawler.errors import InvalidRequest, NotFound
from crawler.model import CrawlStatus, CrawlView, Role, UrlStatus
from crawler.store.contents import select_bodies, unpack
from crawler.store.crawls import read_view
from crawler.store.database import Database
from crawler.store.previous import find_previous
from crawler.store.schema import bodies, crawls, urls

#: Places of pages that the later crawl does not have come after those of the pages that it has.
_LOST_FROM = 2**31

_new = urls.alias("new_urls")
_old = urls.alias("old_urls")
_had = and_(_old.c.role == Role.PAGE, _old.c.status == UrlStatus.COMPLETED)
_is_gone = and_(_new.c.status == UrlStatus.ERRORED, func.coalesce(_new.c.http_status, 0).in_((404, 410)))
_is_unmodified = and_(_new.c.status == UrlStatus.SKIPPED, _new.c.reason == "not_modified")
_has_ended = _new.c.status.not_in((UrlStatus.QUEUED, UrlStatus.LEASED))


def _judge(asked: Mapping[str, Any]) -> Case[str]:
    """Of a page of the later crawl, which asked for this; NULL where there is nothing to say (yet)."""
    # What was modified after the earlier crawl had it, but before `modifiedSince`, is not the same.
    has_stayed = func.coalesce(_old.c.asked_at, _old.c.finished_at) >= asked.get("modifiedSince", 0) * 1000
    old_hash, new_hash = func.coalesce(_old.c.content_hash, ""), func.coalesce(_new.c.content_hash, "")
    is_completed = _new.c.status == UrlStatus.COMPLETED
    was_there = _old.c.id.is_not(None)
    return case(
        (is_completed & ~was_there, PageChange.NEW.value),
        (is_completed & (old_hash == new_hash), PageChange.SAME.value),
        (is_completed, PageChange.CHANGED.value),
        (was_there & _is_unmodified & has_stayed, PageChange.SAME.value),
        (was_there & _is_gone, PageChange.REMOVED.value),
        (was_there & _has_ended, PageChange.UNKNOWN.value),
        else_=null(),
    )


@dataclass(frozen=True, slots=True)
class _Lost:
    """How to judge pages that the later crawl has not found again."""

    #: Why nothing can be said of any of them; "" where it can.
    doubt: str
    #: How many there are on each level of the earlier crawl.
    numbers: Mapping[int, int]
    #: Levels of which nothing can be said, because pages that could have led there failed or were not read.
    unclear: frozenset[int] = frozenset()
    #: The deepest level that the later crawl has looked at.
    max_depth: int = 0

    def judge(self, depth: int) -> tuple[PageChange, str]:
        if self.doubt:
            return PageChange.UNKNOWN, self.doubt
        if depth > self.max_depth:
            return PageChange.UNKNOWN, "depth"
        return (
            (PageChange.UNKNOWN, "not_reached")
            if depth in self.unclear
            else (PageChange.REMOVED, "not_linked")
        )


class Changes:
    """Comparisons within one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bodies = select_bodies()

    async def read(
        self,
        account_id: str,
        crawl_id: str,
        *,
        against: str | None,
        cursor: int,
        limit: int,
        change: PageChange | None,
    ) -> Comparison:
        """Up to `limit` pages after `cursor`, only those with this change if one is named.

        `against` is the crawl to compare with; None: the crawl before, see `find_previous`. Raises NotFound;
        InvalidRequest for a crawl that cannot be compared with.
        """
        async with self._database.read() as connection:
            view = await read_view(connection, account_id, crawl_id)
            old_id = (
                await find_previous(connection, crawl_id)
                if against is None
                else await self._named(connection, account_id, crawl_id, against)
            )
            asked = await _read_request(connection, crawl_id)
            # No id is empty: compared with nothing, every page is new.
            lost = await self._judge_lost(connection, view, old_id or "", asked)
            verdict = _judge(asked)
            pages = await self._found_pages(
                connection, crawl_id, old_id or "", verdict, after=cursor, limit=limit + 1, change=change
            )
            if len(pages) <= limit and view.status is not CrawlStatus.RUNNING:
                after = max(0, cursor - _LOST_FROM)
                rest = limit + 1 - len(pages)
                pages += await self._lost_pages(
                    connection, crawl_id, old_id or "", lost, after=after, limit=rest, change=change
                )
            counts = None if cursor else await self._count(connection, view, old_id or "", verdict, lost)
        shown = tuple(pages[:limit])
        next_cursor = shown[-1].place if shown and len(pages) > limit else None
        return Comparison(view.id, view.status, old_id, shown, counts, next_cursor)

    async def read_markdown(self, page: ComparedPage) -> tuple[str | None, str | None]:
        """The Markdown of a page before and after, as far as it was kept."""
        ids = [number for number in (page.old_id, page.new_id) if number is not None]
        async with self._database.read() as connection:
            rows = (await connection.execute(self._bodies.where(bodies.c.url_id.in_(ids)))).all()
        texts = {row.url_id: unpack(row.markdown) for row in rows}
        return texts.get(page.old_id), texts.get(page.new_id)

    async def _named(self, connection: AsyncConnection, account_id: str, crawl_id: str, against: str) -> str:
        try:
            view = await read_view(connection, account_id, against)
        except NotFound as error:
            raise InvalidRequest("against: there is no such crawl") from error
        if view.status is CrawlStatus.RUNNING or against == crawl_id:
            raise InvalidRequest("against: name another crawl, one that has ended")
        return against

    async def _judge_lost(
        self, connection: AsyncConnection, view: CrawlView, old_id: str, asked: Mapping[str, Any]
    ) -> _Lost:
        by_level = (
            select(_old.c.depth, func.count().label("number"))
            .where(*_lost_from(view.id, old_id))
            .group_by(_old.c.depth)
        )
        numbers = {row.depth: row.number for row in await connection.execute(by_level)}
        if not numbers:
            return _Lost("", {})
        columns = (crawls.c.held, crawls.c.parent_id, crawls.c.max_depth)
        row = (await connection.execute(select(*columns).where(crawls.c.id == view.id))).one()
        if view.status is not CrawlStatus.COMPLETED:
            return _Lost("unfinished", numbers)
        if row.parent_id is not None:
            return _Lost("not_reached", numbers)
        asked_before = await _read_request(connection, old_id)
        if any(asked.get(name) != asked_before.get(name) for name in ("source", "options")):
            # Also of pages that belong to both crawls: the way there may lead through one that does not.
            return _Lost("scope", numbers)
        sitemaps = await self._sitemaps(connection, view.id, old_id)
        if row.held or UrlStatus.CANCELLED in sitemaps:
            return _Lost("limit", numbers)
        if UrlStatus.ERRORED in sitemaps:
            return _Lost("not_reached", numbers)
        failed = (
            select(_old.c.depth)
            .select_from(_old.join(_new, _same_page(view.id)))
            .where(
                _old.c.crawl_id == old_id,
                _had,
                _new.c.status != UrlStatus.COMPLETED,
                ~_is_gone,
                # Of pages that are not modified, the start alone is read for its links.
                ~(_is_unmodified & (_new.c.depth == 0)),
            )
            .distinct()
        )
        above = set((await connection.execute(failed)).scalars())
        unclear = set()
        for depth in sorted(numbers):
            if depth - 1 in above:
                # What is not known to be there or not could have led on to the next level.
                unclear.add(depth)
                above.add(depth)
        return _Lost("", numbers, frozenset(unclear), row.max_depth)

    async def _sitemaps(self, connection: AsyncConnection, new_id: str, old_id: str) -> set[str]:
        """How the sitemaps ended in the later crawl that the earlier one could read."""
        was_read = exists().where(
            _old.c.crawl_id == old_id,
            _old.c.role == _new.c.role,
            _old.c.url_key == _new.c.url_key,
            _old.c.status == UrlStatus.COMPLETED,
        )
        statement = select(_new.c.status).where(_new.c.crawl_id == new_id, _new.c.role != Role.PAGE, was_read)
        return set((await connection.execute(statement.distinct())).scalars())

    async def _found_pages(
        self,
        connection: AsyncConnection,
        new_id: str,
        old_id: str,
        verdict: Case[str],
        *,
        after: int,
        limit: int,
        change: PageChange | None,
    ) -> list[ComparedPage]:
        if after >= _LOST_FROM:
            return []
        wanted: ColumnElement[bool] = verdict.is_not(None) if change is None else verdict == change.value
        columns = (
            _new.c.seq, _new.c.url, _new.c.status, _new.c.reason, _new.c.http_status, _new.c.title,
        )  # fmt: skip
        ids = (_new.c.id, _old.c.id.label("old_id"))
        statement = (
            _found(select(*columns, *ids, verdict.label("change")), new_id, old_id)
            .where(_new.c.seq > after, wanted)
            .order_by(_new.c.seq)
            .limit(limit)
        )
        return [_compared(row) for row in await connection.execute(statement)]

    async def _lost_pages(
        self,
        connection: AsyncConnection,
        new_id: str,
        old_id: str,
        lost: _Lost,
        *,
        after: int,
        limit: int,
        change: PageChange | None,
    ) -> list[ComparedPage]:
        levels = [depth for depth in lost.numbers if change in (None, lost.judge(depth)[0])]
        if not levels:
            return []
        statement = (
            select(_old.c.id, _old.c.seq, _old.c.url, _old.c.title, _old.c.depth)
            .where(*_lost_from(new_id, old_id), _old.c.depth.in_(levels), _old.c.seq > after)
            .order_by(_old.c.seq)
            .limit(limit)
        )
        rows = (await connection.execute(statement)).all()
        return [
            ComparedPage(row.url, *lost.judge(row.depth), None, row.title, row.id, None, _LOST_FROM + row.seq)
            for row in rows
        ]

    async def _count(
        self, connection: AsyncConnection, view: CrawlView, old_id: str, verdict: Case[str], lost: _Lost
    ) -> Mapping[PageChange, int]:
        named = verdict.label("change")
        statement = _found(select(named, func.count()), view.id, old_id).group_by(named)
        counts = Counter(
            {PageChange(change): number for change, number in await connection.execute(statement) if change}
        )
        if view.status is not CrawlStatus.RUNNING:
            for depth, number in lost.numbers.items():
                counts[lost.judge(depth)[0]] += number
        return {change: counts[change] for change in PageChange}


async def _read_request(connection: AsyncConnection, crawl_id: str) -> Mapping[str, Any]:
    """The crawl's request in wire form, empty for no crawl."""
    statement = select(crawls.c.options).where(crawls.c.id == crawl_id)
    return json.loads((await connection.execute(statement)).scalar() or "{}")  # type: ignore[no-any-return]


def _same_page(new_id: str) -> ColumnElement[bool]:
    return and_(_new.c.crawl_id == new_id, _new.c.role == Role.PAGE, _new.c.url_key == _old.c.url_key)


def _lost_from(new_id: str, old_id: str) -> Sequence[ColumnElement[bool]]:
    """Conditions: completed in the earlier crawl, and unknown to the later one."""
    return _old.c.crawl_id == old_id, _had, ~exists().where(_same_page(new_id))


def _found(statement: Select[*tuple[Any, ...]], new_id: str, old_id: str) -> Select[*tuple[Any, ...]]:
    """Pages of the later crawl, each next to the page of the earlier one."""
    pair = and_(_old.c.crawl_id == old_id, _old.c.url_key == _new.c.url_key, _had)
    return statement.select_from(_new.outerjoin(_old, pair)).where(
        _new.c.crawl_id == new_id, _new.c.role == Role.PAGE
    )


def _compared(row: Any) -> ComparedPage:
    change = PageChange(row.change)
    reason = ""
    if change is PageChange.REMOVED:
        reason = "gone"
    elif change is PageChange.UNKNOWN:
        reason = row.reason if UrlStatus(row.status).has_reason else "unfinished"
    return ComparedPage(row.url, change, reason, row.http_status, row.title, row.old_id, row.id, row.seq)
