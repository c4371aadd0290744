"""The tick: chores that keep the promises when processes die. Each is idempotent, bounded, and runs once per call.

Any number of ticks may run at the same time: every write is conditional.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from crawler.doorbell import Doorbell
from crawler.errors import Unavailable
from crawler.model import CrawlStatus, ErrorCode, Kind, Outcome, UrlStatus
from crawler.scheduling import Scheduling
from crawler.settings import Settings
from crawler.store.addresses import Addresses
from crawler.store.circuits import Circuits
from crawler.store.clock import ClockJumps
from crawler.store.crawls import Crawls
from crawler.store.finish import Finisher
from crawler.store.frontier import Frontier
from crawler.store.retention import Retention
from crawler.store.robots import RobotsFiles

log = logging.getLogger(__name__)

#: How long a tick deletes records, and how long texts, when there is so much to delete.
_DELETING_SECONDS = 1.0
_ROBOTS_KEPT_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class TickCounts:
    """What one tick did."""

    taken_back: int = 0
    ended: int = 0
    #: Due times of schedules that were decided.
    fired: int = 0
    deleted: int = 0
    rung: int = 0


@dataclass(frozen=True, slots=True)
class Maintenance:
    """The chores of one database."""

    settings: Settings
    crawls: Crawls
    frontier: Frontier
    finisher: Finisher
    addresses: Addresses
    circuits: Circuits
    robots: RobotsFiles
    retention: Retention
    jumps: ClockJumps
    scheduling: Scheduling
    doorbell: Doorbell

    async def tick(self) -> TickCounts:
        """Run every chore once. One that fails is told in the log and stops no other. Raises Unavailable: what the
        database is needed for waits for the next tick."""
        await _alone(self.mend_clock)
        await _alone(self.addresses.delete_idle)
        await _alone(self.circuits.delete_stale)
        counts = TickCounts(
            taken_back=await _alone(self.take_back_leases),
            ended=await _alone(self.end_overdue_crawls),
            fired=await _alone(self.scheduling.fire_due),
            deleted=await self.delete_expired(),
            rung=await _alone(self.ring_for_due_work),
        )
        if counts.taken_back or counts.ended or counts.fired:
            log.info("tick: %s", counts)
        return counts

    async def mend_clock(self) -> int:
        """What waits too long because the clock was set back goes on. Returns 1 when there was any, else 0."""
        is_mended = await self.jumps.mend()
        if is_mended:
            log.warning("the clock of the database was set back; what it made wait for too long goes on")
        return int(is_mended)

    async def take_back_leases(self) -> int:
        """Leases of workers that went silent: queue the URL again, or give up after the last attempt."""
        outcomes = [
            Outcome(
                lease,
                UrlStatus.QUEUED if lease.attempt < self.settings.max_attempts else UrlStatus.ERRORED,
                ErrorCode.WORKER_LOST,
                retry_after_seconds=0.0,
            )
            for lease in await self.frontier.take_over()
        ]
        for outcome in outcomes:
            await self.finisher.finish([outcome])
        return len(outcomes)

    async def end_overdue_crawls(self) -> int:
        """Crawls past their deadline or their account's budget of browser time."""
        ended = 0
        for crawl_id in await self.crawls.overdue():
            ended += await self.crawls.end(crawl_id, CrawlStatus.CANCELLED_DUE_TO_TIMEOUT)
        budget = self.settings.max_daily_browser_seconds
        if budget:
            for crawl_id in await self.crawls.over_budget(round(budget * 1000)):
                ended += await self.crawls.end(crawl_id, CrawlStatus.CANCELLED_DUE_TO_LIMITS)
        return ended

    async def delete_expired(self) -> int:
        """What is past its retention, as much as there is time for, each kind alone. Returns rows, without texts."""
        deleted = await _alone(self._delete_records)
        await _alone(self._delete_texts)
        deleted += await _alone(self.scheduling.delete_old_runs)
        return deleted + await _alone(self._delete_robots)

    async def _delete_records(self) -> int:
        return (await self.retention.delete_expired(budget_seconds=_DELETING_SECONDS)).rows

    async def _delete_texts(self) -> int:
        return (await self.retention.delete_unused_texts(budget_seconds=_DELETING_SECONDS)).rows

    async def _delete_robots(self) -> int:
        return await self.robots.delete_stale(older_than_seconds=_ROBOTS_KEPT_SECONDS)

    async def ring_for_due_work(self) -> int:
        """Ring for every kind that has a due host: a ring that got lost costs one tick, no more."""
        kinds = [kind for kind in Kind if await self.frontier.is_due(kind)]
        for kind in kinds:
            await self.doorbell.ring(kind)
        return len(kinds)


async def _alone(chore: Callable[[], Awaitable[int]]) -> int:
    """What a chore says that it did; 0 when it failed, which is told in the log. Raises Unavailable."""
    try:
        return await chore()
    except Unavailable:
        raise
    except Exception:
        log.exception("the chore %s failed; the others go on", chore.__qualname__)
        return 0
