"""Records: what a crawl's owner reads, page by page, in discovery order, while the crawl runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, overload

from sqlalchemy import Row, Select, bindparam, func, select

from crawler.model import Record, RecordPage, Role, UrlStatus
from crawler.store.contents import select_with_bodies, unpack
from crawler.store.crawls import read_view
from crawler.store.database import Database
from crawler.store.schema import urls

_COLUMNS = (
    urls.c.id, urls.c.seq, urls.c.url, urls.c.status, urls.c.reason, urls.c.http_status, urls.c.final_url,
    urls.c.title, urls.c.last_modified, urls.c.record_bytes, urls.c.details,
)  # fmt: skip
#: Bytes of a record that has no bodies yet, rounded up.
_SIZE_WITHOUT_BODIES = 600


class Records:
    """Records of one database."""

    def __init__(self, database: Database, *, page_bytes: int) -> None:
        self._database = database
        # Built once, because that takes longer than to run them.
        self._pages = {status: _select_page(status, page_bytes) for status in (None, *UrlStatus)}

    async def read(
        self, account_id: str, crawl_id: str, *, cursor: int, limit: int, status: UrlStatus | None
    ) -> RecordPage:
        """Up to `limit` records after `cursor`, fewer where the answer would grow past the page's bytes, but one
        at least. Raises NotFound.

        The cursor is the last record's place in discovery order, so pages neither skip nor repeat while the
        crawl runs or when a status filter is added.
        """
        place = {"crawl_id": crawl_id, "cursor": cursor, "limit": limit, "limit_and_one": limit + 1}
        async with self._database.read() as connection:
            view = await read_view(connection, account_id, crawl_id)
            if limit == 0:
                return RecordPage(view, (), None)
            rows = (await connection.execute(self._pages[status], place)).all()
        shown = [row for row in rows if row.is_shown]
        sizes = [row.record_bytes or _SIZE_WITHOUT_BODIES for row in shown]
        packed = sum(len(data) for row in shown for data in (row.html, row.markdown, row.json) if data)
        return RecordPage(
            view,
            _Packed(shown),
            shown[-1].seq if len(rows) > len(shown) else None,
            text_bytes=sum(sizes),
            held_bytes=packed + len(shown) * _SIZE_WITHOUT_BODIES + max(sizes, default=0),
        )


class _Packed(Sequence[Record]):
    """Rows as records, unpacked one by one: an answer may have to wait long for its reader."""

    def __init__(self, rows: Sequence[Row[Any]]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Record]:
        """Unlike the one of Sequence, this one does not hold on to what it has given away."""
        return map(_record, self._rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return _Packed(self._rows[index]) if isinstance(index, slice) else _record(self._rows[index])


def _record(row: Row[Any]) -> Record:
    status = UrlStatus.QUEUED if row.status == UrlStatus.LEASED else UrlStatus(row.status)
    return Record(
        seq=row.seq,
        url=row.url,
        status=status,
        reason=row.reason if status.has_reason else "",
        http_status=row.http_status,
        final_url=row.final_url,
        title=row.title,
        last_modified=row.last_modified,
        html=unpack(row.html),
        markdown=unpack(row.markdown),
        json=unpack(row.json),
        details={} if row.details is None else json.loads(row.details),
    )


def _select_page(status: UrlStatus | None, page_bytes: int) -> Select[Any]:
    """The records after `cursor`, `limit` of them and one more; bodies only for those that are shown.

    One statement: each more is a way to the database and back, which takes longer than all that it does there.
    """
    wanted = (
        select(*_COLUMNS)
        .where(
            urls.c.crawl_id == bindparam("crawl_id"),
            urls.c.seq > bindparam("cursor"),
            urls.c.role == Role.PAGE,
        )
        .order_by(urls.c.seq)
        .limit(bindparam("limit_and_one"))
    )
    match status:
        case None:
            pass
        case UrlStatus.QUEUED:
            wanted = wanted.where(urls.c.status.in_([UrlStatus.QUEUED, UrlStatus.LEASED]))
        case _:
            wanted = wanted.where(urls.c.status == status)
    row = wanted.subquery("wanted")
    size = func.coalesce(func.nullif(row.c.record_bytes, 0), _SIZE_WITHOUT_BODIES)
    place = func.row_number().over(order_by=row.c.seq)
    up_to_here = func.sum(size).over(order_by=row.c.seq)
    fits = (place <= bindparam("limit")) & ((up_to_here <= page_bytes) | (place == 1))
    page = select(row, fits.label("is_shown")).subquery("page")
    return select_with_bodies(page, page.c.is_shown).order_by(page.c.seq)
