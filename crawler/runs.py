"""The use cases of crawling a site again: go on, retry, and tell what has changed since the run before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from crawler.changes import ComparedPage, Comparison, Diff, PageChange, unified_diff
from crawler.doorbell import Doorbell
from crawler.settings import Settings
from crawler.store.changes import Changes
from crawler.store.continuations import Continuations
from crawler.store.crawls import Quotas

#: Differences are made for so long for one answer, which is then cut.
_DIFF_SECONDS = 10.0


class Runs:
    """One per process. Every method takes the account that asks; another account's crawl does not exist for it."""

    def __init__(
        self,
        *,
        settings: Settings,
        quotas: Quotas,
        changes: Changes,
        continuations: Continuations,
        doorbell: Doorbell,
    ) -> None:
        self._settings = settings
        self._changes = changes
        self._continuations = continuations
        self._doorbell = doorbell
        self._quotas = quotas

    async def retry(self, account_id: str, crawl_id: str, *, idempotency_key: str | None = None) -> str:
        """Start a crawl of the pages that errored in an ended one. Returns its id. Raises like
        `Continuations.retry`."""
        child_id, kind = await self._continuations.retry(
            account_id, crawl_id, self._quotas, idempotency_key=idempotency_key
        )
        await self._doorbell.ring(kind)
        return child_id

    async def go_on(
        self, account_id: str, crawl_id: str, limit: int, *, idempotency_key: str | None = None
    ) -> str:
        """Start a crawl of what an ended one did not come to, up to `limit` pages together. Returns its id. Raises
        like `Continuations.go_on`."""
        child_id, kind = await self._continuations.go_on(
            account_id, crawl_id, limit, self._quotas, idempotency_key=idempotency_key
        )
        await self._doorbell.ring(kind)
        return child_id

    async def compare(
        self,
        account_id: str,
        crawl_id: str,
        *,
        against: str | None = None,
        cursor: int = 0,
        limit: int = 100,
        change: PageChange | None = None,
    ) -> Comparison:
        """What became of every page since the crawl before. See `Changes.read`."""
        return await self._changes.read(
            account_id, crawl_id, against=against, cursor=cursor, limit=limit, change=change
        )

    async def diffs(self, comparison: Comparison) -> AsyncIterator[tuple[ComparedPage, Diff | None]]:
        """The pages with the differences of their Markdown, where a changed page has it twice. Ends early when they
        grow larger than an answer may, or take too long; one page at least comes."""
        began = time.monotonic()
        room_bytes = self._settings.page_bytes
        for page in comparison.pages:
            diff = await self._diff(page) if page.change is PageChange.CHANGED else None
            yield page, diff
            room_bytes -= len(diff.text.encode()) if diff is not None else 0
            if room_bytes < self._settings.max_diff_chars or time.monotonic() - began > _DIFF_SECONDS:
                return

    async def _diff(self, page: ComparedPage) -> Diff | None:
        old, new = await self._changes.read_markdown(page)
        if old is None or new is None:
            return None
        # In a thread: a long page takes a moment, and other requests must not wait for it.
        return await asyncio.to_thread(unified_diff, old, new, max_chars=self._settings.max_diff_chars)
