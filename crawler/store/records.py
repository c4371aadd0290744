"""Records: what a crawl's owner reads, page by page, in discovery order, while the crawl runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select

from crawler.model import Record, RecordPage, Role, UrlStatus
from crawler.store.contents import select_bodies, unpack
from crawler.store.crawls import read_view
from crawler.store.database import Database
from crawler.store.schema import bodies, urls

_COLUMNS = (
    urls.c.id, urls.c.seq, urls.c.url, urls.c.status, urls.c.reason, urls.c.http_status, urls.c.final_url,
    urls.c.title, urls.c.last_modified, urls.c.record_bytes, urls.c.details,
)  # fmt: skip


class Records:
    """Records of one database."""

    def __init__(self, database: Database, *, page_bytes: int) -> None:
        self._database = database
        self._page_bytes = page_bytes
        self._bodies = select_bodies().where(bodies.c.url_id.in_(database.members("ids", int)))
        self._pages = {status: _select_page(status) for status in (None, *UrlStatus)}

    async def read(
        self, account_id: str, crawl_id: str, *, cursor: int, limit: int, status: UrlStatus | None
    ) -> RecordPage:
        """Up to `limit` records after `cursor`, fewer where the answer would grow past the page's bytes, but one
        at least. Raises NotFound.

        The cursor is the last record's place in discovery order, so pages neither skip nor repeat while the
        crawl runs or when a status filter is added.
        """
        place = {"crawl_id": crawl_id, "cursor": cursor, "count": limit + 1}
        async with self._database.read() as connection:
            view = await read_view(connection, account_id, crawl_id)
            if limit == 0:
                return RecordPage(view, (), None)
            rows = (await connection.execute(self._pages[status], place)).all()
            shown = rows[: self._fitting(rows[:limit])]
            ids = json.dumps([row.id for row in shown if row.record_bytes])
            contents = {
                row.url_id: row for row in await connection.execute(self._bodies, {"ids": ids}) if shown
            }
        records = tuple(
            Record(
                seq=row.seq,
                url=row.url,
                status=UrlStatus.QUEUED if row.status == UrlStatus.LEASED else UrlStatus(row.status),
                reason=row.reason,
                http_status=row.http_status,
                final_url=row.final_url,
                title=row.title,
                last_modified=row.last_modified,
                html=unpack(contents[row.id].html) if row.id in contents else None,
                markdown=unpack(contents[row.id].markdown) if row.id in contents else None,
                json=unpack(contents[row.id].json) if row.id in contents else None,
                details={} if row.details is None else json.loads(row.details),
            )
            for row in shown
        )
        return RecordPage(view, records, shown[-1].seq if len(rows) > len(shown) else None)

    def _fitting(self, rows: Sequence[Any]) -> int:
        total = 0
        for number, row in enumerate(rows):
            total += row.record_bytes or 600
            if total > self._page_bytes and number:
                return number
        return len(rows)


def _select_page(status: UrlStatus | None) -> Select[Any]:
    """The records after `cursor`, `count` of them; built once, because that takes longer than to run it."""
    statement = (
        select(*_COLUMNS)
        .where(
            urls.c.crawl_id == bindparam("crawl_id"),
            urls.c.seq > bindparam("cursor"),
            urls.c.role == Role.PAGE,
        )
        .order_by(urls.c.seq)
        .limit(bindparam("count"))
    )
    match status:
        case None:
            return statement
        case UrlStatus.QUEUED:
            return statement.where(urls.c.status.in_([UrlStatus.QUEUED, UrlStatus.LEASED]))
        case _:
            return statement.where(urls.c.status == status)
