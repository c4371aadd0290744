"""What is past its retention goes, in batches that hold their locks for a moment.

A batch is one transaction. How many rows it may have is learned from how long the last ones took, so that nobody
waits for it longer than the limit, on a fast disk or a slow one; between two batches there is a pause. What a batch
deletes is chosen anew each time, so a process that is killed in the middle leaves nothing to be resumed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, bindparam, delete, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Delete

from crawler.store.contents import Contents
from crawler.store.database import Database, now
from crawler.store.schema import crawls, events, held_links, urls

#: Fewer are hardly quicker: most of the time is then spent on waiting for the database's answers.
_LEAST_ROWS = 100
#: Rows of the next batch at most, by those of the last: one that was quick by chance must not make it much too large.
_GROWTH = 1.5
#: Crawls in one batch at most.
_CRAWLS = 20


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was done in how many batches, and for how long one of them held its locks at most, seconds."""

    rows: int = 0
    batches: int = 0
    longest_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How many rows a batch may have, and for how many milliseconds it shall hold its locks at most."""

    rows: int = 1_000
    milliseconds: float = 20.0


class BatchSize:
    """How many rows a batch may have, so that it keeps within its limits."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self.rows = min(_LEAST_ROWS, limits.rows)

    def learn(self, rows: int, seconds: float) -> None:
        """A batch of `rows` rows took so long."""
        fitting = self.rows * self._limits.milliseconds / 1000 / max(seconds, 1e-6)
        if rows < self.rows and fitting > self.rows:
            return  # it was not full: that it was quick says nothing of a larger one
        self.rows = min(max(_LEAST_ROWS, int(min(fitting, self.rows * _GROWTH))), self._limits.rows)


class Retention:
    """Deletes from one database. After each batch it pauses for as long as that has taken."""

    def __init__(self, database: Database, limits: BatchLimits) -> None:
        self._database = database
        self._contents = Contents(database)
        self._records, self._texts = BatchSize(limits), BatchSize(limits)
        # The oldest first. Locked, so that two processes take turns instead of deleting the same rows.
        self._expired = (
            select(crawls.c.id)
            .where(crawls.c.expires_at <= now())
            .order_by(crawls.c.expires_at)
            .limit(_CRAWLS)
            .with_for_update()
        )
        self._parts = [
            self._part(urls, urls.c.id),
            self._part(held_links, held_links.c.crawl_id, held_links.c.seq),
            self._part(events, events.c.id),
        ]
        self._crawl = delete(crawls).where(crawls.c.id == bindparam("crawl"))

    @staticmethod
    def _part(table: Table, *key: ColumnElement[object]) -> Delete:
        """Delete up to `rows` rows of this table that belong to `crawl`."""
        # A CTE is evaluated once; Postgres may run a sub-select anew for each row, past its limit.
        chosen = (
            select(*key)
            .where(table.c.crawl_id == bindparam("crawl"))
            .limit(bindparam("rows"))
            .cte("chosen", nesting=True)
        )
        return delete(table).where(tuple_(*key).in_(select(*chosen.c)))

    async def delete_expired(self, *, budget_seconds: float) -> Deleted:
        """Delete crawls past their retention, with all that is theirs, for about so long, but at least one batch. No
        rows mean that nothing is left to delete. The texts stay for `delete_unused_texts`."""
        return await self._in_batches(self._delete_records, self._records, budget_seconds)

    async def delete_unused_texts(self, *, budget_seconds: float) -> Deleted:
        """Look for texts that no record has any more, for about so long, but at least one batch. Rows are those looked
        at."""
        return await self._in_batches(self._contents.sweep, self._texts, budget_seconds)

    @staticmethod
    async def _in_batches(
        run: Callable[[int], Awaitable[tuple[int, float]]], size: BatchSize, budget_seconds: float
    ) -> Deleted:
        stop_at = time.monotonic() + budget_seconds
        done = Deleted()
        while True:
            rows, seconds = await run(size.rows)
            if rows == 0:
                return done
            done = Deleted(done.rows + rows, done.batches + 1, max(done.longest_seconds, seconds))
            size.learn(rows, seconds)
            if time.monotonic() >= stop_at:
                return done
            await asyncio.sleep(seconds)

    async def _delete_records(self, most: int) -> tuple[int, float]:
        """Delete up to `most` rows, and when none is left the crawls. Returns how many, and how long it held locks."""
        async with self._database.write() as connection:
            started_at = time.monotonic()
            crawl_ids = list((await connection.execute(self._expired)).scalars())
            rows = await self._delete_parts(connection, crawl_ids, most) if crawl_ids else 0
        return rows, time.monotonic() - started_at

    async def _delete_parts(self, connection: AsyncConnection, crawl_ids: list[str], most: int) -> int:
        if not self._database.is_sqlite:
            # The table may be full of their rows: the planner would read it from its start, past all the dead ones.
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        left = most
        for crawl_id in crawl_ids:
            for part in self._parts:
                left -= (await connection.execute(part, {"crawl": crawl_id, "rows": left})).rowcount
                if left <= 0:
                    return most
            await connection.execute(self._crawl, {"crawl": crawl_id})
            left -= 1
        return most - left
