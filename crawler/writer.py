"""Group commit: outcomes that end at about the same time are finished in one transaction."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from crawler.errors import Unavailable
from crawler.model import Lease, Outcome, UrlStatus
from crawler.store.finish import Finished, Finisher

log = logging.getLogger(__name__)

#: Pages per transaction at most: a larger one would hold the crawl's row for too long.
_BATCH = 16
_RETRY_SECONDS = 0.5


class Writer:
    """Finishes outcomes. While one transaction is under way the next batch gathers, and many pages share its cost."""

    def __init__(
        self,
        finisher: Finisher,
        *,
        in_flight: Callable[[], int],
        gather_seconds: float,
        on_queued: Callable[[], None],
        give_up_seconds: float,
    ) -> None:
        """A batch gathers for `gather_seconds` at most, and no longer than until all of the `in_flight()` pages are
        here: so a lone page waits for nobody."""
        self._finisher = finisher
        self._in_flight = in_flight
        self._gather_seconds = gather_seconds
        self._on_queued = on_queued
        self._give_up_seconds = give_up_seconds
        self._queue: list[tuple[Outcome, asyncio.Future[None]]] = []
        self._writing: set[tuple[str, int]] = set()
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many outcomes are here and not written yet."""
        return len(self._writing)

    def has(self, lease: Lease) -> bool:
        """Whether this lease's outcome is here, written or about to be."""
        return (lease.token, lease.url_id) in self._writing

    async def write(self, outcome: Outcome) -> None:
        """Finish this outcome. When the database stays away for longer than the lease the outcome is dropped: the
        URL is somebody else's by then."""
        done = asyncio.get_running_loop().create_future()
        key = (outcome.lease.token, outcome.lease.url_id)
        self._writing.add(key)
        self._queue.append((outcome, done))
        self._came.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(), name="writer")
        try:
            # A page that is cancelled at a stop still gets its outcome written.
            await asyncio.shield(done)
        finally:
            self._writing.discard(key)

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._queue:
            await self._gather()
            batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
            await self._finish([outcome for outcome, _ in batch])
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def _gather(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                while len(self._queue) < min(_BATCH, self._in_flight()):
                    self._came.clear()
                    await self._came.wait()

    async def _finish(self, outcomes: list[Outcome]) -> None:
        give_up_at = time.monotonic() + self._give_up_seconds
        while True:
            try:
                finished: Finished = await self._finisher.finish(outcomes)
            except Unavailable as error:
                if time.monotonic() > give_up_at:
                    log.error("dropped %d outcomes: %s", len(outcomes), error.message)
                    return
                log.warning("cannot finish pages yet: %s", error.message)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                log.exception("a batch of %d pages cannot be stored", len(outcomes))
                await self._finish_each(outcomes)
                return
            else:
                if finished.queued:
                    self._on_queued()
                return

    async def _finish_each(self, outcomes: list[Outcome]) -> None:
        """One page that the database refuses must not take the others with it, nor stay leased for ever."""
        if len(outcomes) > 1:
            for outcome in outcomes:
                await self._finish([outcome])
            return
        (outcome,) = outcomes
        if outcome.reason != "internal":
            await self._finish([Outcome(outcome.lease, UrlStatus.ERRORED, "internal")])
