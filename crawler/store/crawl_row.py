"""The row of a crawl that is locked: its counters, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sqlalchemy import RowMapping

from crawler.model import UrlStatus


@dataclass(slots=True)
class CrawlRow:
    """The counters of a locked crawl; changed here, written back at the end of the transaction."""

    id: str
    parent_id: str | None
    running: bool
    kind: str
    url_limit: int
    max_depth: int
    next_seq: int
    queued: int
    completed: int
    errored: int
    disallowed: int
    skipped: int
    cancelled: int
    sitemaps_open: int
    sitemaps_total: int
    held: int
    browser_ms: int
    #: Whether there was no room when the row was locked.
    was_full: bool = False

    @classmethod
    def of(cls, row: RowMapping) -> Self:
        """From a row of `crawls`."""
        names = [name for name in cls.__slots__ if name not in {"running", "was_full"}]
        crawl = cls(running=row["status"] == "running", **{name: row[name] for name in names})
        crawl.was_full = crawl.room == 0
        return crawl

    def counters(self) -> dict[str, int]:
        """The columns to write back."""
        fixed = {"id", "parent_id", "running", "kind", "url_limit", "max_depth", "was_full"}
        return {name: getattr(self, name) for name in self.__slots__ if name not in fixed}

    def move(self, status: UrlStatus) -> None:
        """Count one queued page as ended in `status`."""
        self.queued -= 1
        setattr(self, status.value, getattr(self, status.value) + 1)

    @property
    def total(self) -> int:
        return self.queued + self.completed + self.errored + self.disallowed + self.cancelled

    @property
    def room(self) -> int:
        """How many more pages may be admitted."""
        return max(0, self.url_limit - self.total)

    @property
    def room_for_skipped(self) -> int:
        """How many more skipped URLs are recorded: a page of endless links must not fill the disk."""
        return max(0, 4 * self.url_limit + 1_000 - self.total - self.skipped)

    @property
    def exhausted(self) -> bool:
        """Nothing is left to do, now or later: what is still held then is beyond the limit."""
        return self.queued == 0 and self.sitemaps_open == 0 and (self.held == 0 or self.room == 0)
