"""The pump: leases due URLs over all running crawls and runs each as its own task. The loop owns the state and decides
nothing.

One pump per kind and process. Pages outlive a run's budget: the next run of the same process finds them in flight.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from crawler.doorbell import Doorbell
from crawler.errors import ConfigurationError, LeaseLost, Unavailable
from crawler.metrics import Metrics
from crawler.model import Kind, Lease, Outcome, UrlStatus
from crawler.page import PagePipeline
from crawler.settings import Settings
from crawler.store.finish import Finisher
from crawler.store.frontier import Frontier
from crawler.writer import Writer

log = logging.getLogger(__name__)

#: Look into the database at least so often while a run lasts, whatever the doorbell says.
_POLL_SECONDS = 0.5
#: Leases are held on to so often; this is also how soon a worker learns that a crawl was cancelled.
_HEARTBEAT_SECONDS = 1.0
#: A page that is cancelled at a stop gets so long to clean up after itself.
_HAND_BACK_SECONDS = 5.0
#: So long the first of a batch waits for others. Rendered pages come one by one: a transaction for each of them, and
#: one for its lease, would be a tenth of what they cost.
_GATHER_SECONDS = {Kind.STATIC: 0.05, Kind.RENDER: 0.15}


@dataclass(slots=True)
class _Flight:
    lease: Lease
    task: asyncio.Task[None]
    lost: bool = False


class Pump:
    """Runs leases of one kind, up to `slots` at once. `run` may be called again and again, never twice at once."""

    def __init__(
        self,
        kind: Kind,
        *,
        slots: int,
        frontier: Frontier,
        finisher: Finisher,
        pipeline: PagePipeline,
        doorbell: Doorbell,
        metrics: Metrics,
        settings: Settings,
        hindrance: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hindrance` says why no page can be begun just now, "" when one can: pages then stay in the database, where
        other processes find them."""
        self.kind = kind
        self._slots = slots
        self._frontier = frontier
        self._pipeline = pipeline
        self._doorbell = doorbell
        self._metrics = metrics
        self._lease_seconds = settings.lease_seconds
        self._max_attempts = settings.max_attempts
        self._monotonic = monotonic
        self._hindrance = hindrance
        self._is_hindered = False
        self._writer = Writer(
            finisher,
            in_flight=lambda: len(self._flights),
            gather_seconds=_GATHER_SECONDS[kind],
            on_queued=self.ring,
            give_up_seconds=settings.lease_seconds,
        )
        #: By token too: a URL may be leased again before its last, lost flight is cleaned up.
        self._flights: dict[tuple[str, int], _Flight] = {}
        self._wake = asyncio.Event()
        #: Nothing is due before, as far as we know; a ring means that we do not know any more.
        self._idle_until = 0.0
        #: When the leases in flight were last known to be ours.
        self._held_at = 0.0
        self._heart: asyncio.Task[None] | None = None
        #: Why this process cannot do its work, once a page has found out.
        self._problem: ConfigurationError | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of the pages in flight."""
        return tuple(sorted({flight.lease.host for flight in self._flights.values()}))

    def ring(self) -> None:
        """Look for due URLs now."""
        self._idle_until = 0.0
        self._wake.set()

    async def run(self, budget_seconds: float, stop: asyncio.Event) -> float | None:
        """Pump until the budget is spent, nothing is due within it, or `stop` is set.

        Returns the seconds until there is work again, None when nothing is waiting. Raises ConfigurationError when
        this process cannot do its work and has to be stopped: its browser may not be used, for example."""
        ends_at = self._monotonic() + budget_seconds
        self.ring()
        while True:
            self._wake.clear()
            if self._problem is not None:
                raise self._problem
            next_due = await self._lease()
            left = ends_at - self._monotonic()
            if stop.is_set() or left <= 0:
                return next_due
            if not self._flights and (next_due is None or next_due > left):
                return next_due
            pause = _POLL_SECONDS if next_due is None else min(next_due, _POLL_SECONDS)
            await self._wait(min(left, max(pause, 0.001)))

    async def wait_for_ring(self, seconds: float) -> None:
        """Sleep until a ring, or for so long."""
        await self._wait(seconds)

    async def stop(self, grace_seconds: float) -> None:
        """Let the pages in flight finish for so long; hand back the rest, their attempts uncounted."""
        tasks = [flight.task for flight in self._flights.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_HAND_BACK_SECONDS)
        await self._writer.close()
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)

    async def _lease(self) -> float | None:
        """Fill the free slots. A page that waits to be written takes none, unless as many as there are slots wait.
        A lease for each slot that gets free would cost a transaction each, so a quarter of them must be. Returns the
        seconds until something may be due."""
        free = self._slots - len(self._flights) + min(self._writer.waiting, self._slots)
        if free < max(1, self._slots // 4):
            return _POLL_SECONDS
        if self._must_wait():
            return _POLL_SECONDS
        wait_seconds = self._idle_until - self._monotonic()
        if wait_seconds > 0:
            return wait_seconds
        try:
            leased = await self._frontier.lease(self.kind, free)
        except Unavailable as error:
            log.warning("no leases: %s", error.message)
            return _POLL_SECONDS
        if not self._flights:
            self._held_at = self._monotonic()
        for lease in leased.leases:
            task = asyncio.create_task(self._run(lease), name=f"page-{lease.url_id}")
            self._flights[lease.token, lease.url_id] = _Flight(lease, task)
        if self._flights and (self._heart is None or self._heart.done()):
            # It lasts as long as there are pages in flight, which may be longer than this run.
            self._heart = asyncio.create_task(self._beat(), name=f"heartbeat-{self.kind}")
        if len(leased.leases) == free:
            # There is more than this process can take: call another one.
            await self._doorbell.ring(self.kind)
            return 0.0
        due = leased.next_due_seconds
        self._idle_until = self._monotonic() + (_POLL_SECONDS if due is None else min(due, _POLL_SECONDS))
        return due

    def _must_wait(self) -> bool:
        """Whether no page can be begun just now; tells the log and the metrics when that changes."""
        hindrance = self._hindrance()
        if bool(hindrance) is not self._is_hindered:
            self._is_hindered = bool(hindrance)
            self._metrics.note_pause(self.kind, is_paused=self._is_hindered)
            if hindrance:
                log.warning("no more %s pages for now: %s", self.kind, hindrance)
            else:
                log.info("%s pages are begun again", self.kind)
        return self._is_hindered

    async def _run(self, lease: Lease) -> None:
        try:
            outcome = await self._outcome(lease)
            if outcome is not None:
                await self._writer.write(outcome)
                self._metrics.note_outcome(outcome)
        finally:
            del self._flights[lease.token, lease.url_id]
            self._wake.set()

    async def _outcome(self, lease: Lease) -> Outcome | None:
        try:
            return await self._pipeline.run(lease)
        except asyncio.CancelledError:
            if self._flights[lease.token, lease.url_id].lost:
                return None
            return Outcome(lease, UrlStatus.QUEUED, "released", give_attempt_back=True)
        except ConfigurationError as error:
            self._problem = error
            return Outcome(lease, UrlStatus.QUEUED, "released", give_attempt_back=True)
        except LeaseLost:
            log.warning("page %s is somebody else's by now", lease.url)
            return None
        except Unavailable as error:
            log.warning("page %s handed back: %s", lease.url, error.message)
            return Outcome(
                lease, UrlStatus.QUEUED, "unavailable", retry_after_seconds=1, give_attempt_back=True
            )
        except Exception:
            log.exception("page %s failed inside the crawler", lease.url)
            again = lease.attempt < self._max_attempts
            return Outcome(
                lease, UrlStatus.QUEUED if again else UrlStatus.ERRORED, "internal", retry_after_seconds=1
            )

    async def _beat(self) -> None:
        """Hold on to the leases in flight; drop pages whose lease is gone, or may be because nobody answers."""
        while self._flights:
            await asyncio.sleep(min(_HEARTBEAT_SECONDS, self._lease_seconds / 4))
            flights = [flight for flight in self._flights.values() if not flight.lost]
            asked_at = self._monotonic()
            let_go_at = self._held_at + self._lease_seconds * 0.75
            try:
                # A database that says nothing at all must not keep us from letting go in time.
                async with asyncio.timeout(max(let_go_at - asked_at, _HEARTBEAT_SECONDS)):
                    held = await self._frontier.extend([flight.lease for flight in flights])
            except Exception as error:
                # Whatever it is: without a heartbeat every lease in flight would run out.
                if not isinstance(error, Unavailable | TimeoutError):
                    log.exception("the leases in flight could not be extended")
                if self._monotonic() >= let_go_at:
                    self._drop(flights)
                continue
            self._held_at = asked_at
            self._drop([flight for flight in flights if flight.lease.url_id not in held])

    def _drop(self, flights: Iterable[_Flight]) -> None:
        for flight in flights:
            # A page whose outcome is being written is no longer leased, and rightly so.
            if not flight.task.done() and not self._writer.has(flight.lease):
                flight.lost = True
                flight.task.cancel()

    async def _wait(self, seconds: float) -> None:
        """Until a page is done, the bell rings, or time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
