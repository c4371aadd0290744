"""Reading a crawl while it runs: every record once, as soon as it has come to its end.

Records are listed in the order of discovery, but they do not end in that order. So the places of those that are
still waiting are remembered, and only they are read again; contents are never read twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from typing import Protocol

from crawler.model import CrawlView, Record, RecordPage, UrlStatus

#: Waiting records looked at in one round. Those behind them have their turn when these have ended.
MAX_WAITING = 500
_READ_RECORDS = 100


class ReadRecords(Protocol):
    """Reads a crawl and up to `limit` records after `cursor`."""

    def __call__(self, *, cursor: int, limit: int) -> Awaitable[RecordPage]: ...


class Follower:
    """The records of one crawl, from its beginning."""

    def __init__(self, read: ReadRecords, *, max_waiting: int = MAX_WAITING) -> None:
        self._read = read
        self._max_waiting = max_waiting
        self._cursor = 0
        #: In order of discovery: the cursor in front of a waiting record, and its own.
        self._waiting: list[tuple[int, int]] = []
        #: The crawl as it was when the last round began; None before the first.
        self.crawl: CrawlView | None = None

    async def new_records(self) -> AsyncIterator[Record]:
        """One round: the records that have ended since the last. When `crawl` has ended after it, none is left."""
        # Read first, so that a crawl seen as ended has no record that ends later.
        self.crawl = (await self._read(cursor=0, limit=0)).crawl
        places, self._waiting = self._waiting, []
        for cursor, count in _runs(places):
            async for record in self._ended(cursor, count):
                yield record
        before = -1
        while self._cursor > before and len(self._waiting) < self._max_waiting:
            before = self._cursor
            async for record in self._ended(before, _READ_RECORDS):
                yield record

    async def _ended(self, cursor: int, count: int) -> AsyncIterator[Record]:
        """Of the `count` records after `cursor` those that have ended; the others are remembered."""
        while count > 0:
            page = await self._read(cursor=cursor, limit=count)
            for record in page.records:
                if record.status is UrlStatus.QUEUED:
                    self._waiting.append((cursor, record.seq))
                else:
                    yield record
                cursor = record.seq
            count -= len(page.records)
            self._cursor = max(self._cursor, cursor)
            if page.next_cursor is None:
                return


def _runs(places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Places that follow one another directly, as the cursor in front of them and their number."""
    start, count, last = 0, 0, None
    for cursor, place in places:
        if cursor != last:
            if count:
                yield start, count
            start, count = cursor, 0
        count += 1
        last = place
    if count:
        yield start, count
