"""The use cases of schedules: kept by their owners, fired by the tick.

Any number of ticks may fire at the same time: the step to the next due time, the row of the run and the crawl are one
conditional transaction (`crawler.store.schedule_runs`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from crawler.doorbell import Doorbell
from crawler.errors import InvalidRequest, SecretLost, Unavailable
from crawler.options import CrawlOptions, join_secrets, split_secrets
from crawler.options.parse import explain
from crawler.schedule_request import parse_schedule
from crawler.service import CrawlService
from crawler.settings import Settings
from crawler.store.clock import read_clock
from crawler.store.crawls import Crawls
from crawler.store.database import Database
from crawler.store.schedule_runs import Attempt, Ready, Run, ScheduleRuns
from crawler.store.schedules import Schedule, Schedules

log = logging.getLogger(__name__)

#: Schedules looked at together, so that a slow robots.txt does not hold up the others.
_TOGETHER = 50
#: How often one tick gets on: what is left after a long downtime is done by the next one.
_ROUNDS = 20
#: How often a change is tried while the schedule fires at the same time.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Scheduling:
    """The schedules of one database. Another account's schedule does not exist for the one that asks."""

    settings: Settings
    database: Database
    schedules: Schedules
    runs: ScheduleRuns
    crawls: Crawls
    service: CrawlService
    doorbell: Doorbell

    async def add(self, account_id: str, body: bytes) -> Schedule:
        """Keep the schedule that `body` describes. Raises InvalidRequest."""
        now = await read_clock(self.database)
        request = parse_schedule(
            body, now=now, min_interval_seconds=self.settings.min_schedule_interval_seconds
        )
        assert request.options is not None
        options, secret = self._split(request.options)
        return await self.schedules.add(account_id, request.rule, options, secret, now)

    async def change(self, account_id: str, schedule_id: str, body: bytes) -> Schedule:
        """Change what `body` names. Raises InvalidRequest and NotFound.

        Due times that nobody has decided yet are decided first, by the rule that they were due by.
        """
        for _ in range(_ATTEMPTS):
            now = await read_clock(self.database)
            before = await self.schedules.get(account_id, schedule_id)
            request = parse_schedule(
                body,
                now=now,
                min_interval_seconds=self.settings.min_schedule_interval_seconds,
                before=before.rule,
            )
            crawl = None if request.options is None else self._split(request.options)
            if before.next_due_at is not None and before.next_due_at <= now:
                await self._advance(before, await self._attempt(before))
            elif await self.schedules.change(before, request.rule, crawl, now):
                return await self.schedules.get(account_id, schedule_id)
        raise Unavailable("The schedule is firing at this moment; please try again.", retry_after_seconds=1)

    async def list_runs(
        self, account_id: str, schedule_id: str, *, before: int | None, limit: int
    ) -> tuple[list[Run], int | None]:
        """Runs of a schedule, newest first, and where the next page begins. Raises NotFound."""
        schedule = await self.schedules.get(account_id, schedule_id)
        runs = await self.runs.list_runs(schedule.id, before=before, limit=limit + 1)
        return runs[:limit], runs[limit - 1].id if len(runs) > limit else None

    async def run_now(self, account_id: str, schedule_id: str) -> Run:
        """Start the schedule's crawl besides its due times; a refusal is in the run. Raises NotFound."""
        schedule = await self.schedules.get(account_id, schedule_id)
        run, kind = await self.runs.run_now(schedule, await self._prepare(schedule))
        if kind is not None:
            await self.doorbell.ring(kind)
        return run

    async def fire_due(self) -> int:
        """Decide all that is due and start what is to start. Returns how many due times were decided.

        A schedule that fails is told in the log and stops no other. It stays due, as nobody knows its next time: when
        it can be read again, its catch-up policy says what becomes of the times in between. Raises Unavailable.
        """
        decided = rounds = 0
        failed: set[str] = set()
        while rounds < _ROUNDS:
            pending = await self.runs.pending(_TOGETHER, but=failed)
            for schedule_id, reason in pending.unreadable.items():
                log.error("schedule %s cannot be read; the others go on: %s", schedule_id, reason)
            done, broken = await self._fire(pending.schedules)
            decided += done
            broken |= pending.unreadable.keys()
            failed |= broken
            # Rounds of nothing but failures do not count: those behind them have their turn, however many fail.
            if done:
                rounds += 1
            elif not broken:
                break
        return decided

    async def _fire(self, pending: Sequence[Schedule]) -> tuple[int, set[str]]:
        """Decide what is due of each. Returns how many due times were decided, and the ids of those that failed."""
        attempts = await asyncio.gather(
            *(self._attempt(schedule) for schedule in pending), return_exceptions=True
        )
        done, failed = 0, set()
        for schedule, attempt in zip(pending, attempts, strict=True):
            try:
                if not isinstance(attempt, Attempt):
                    raise attempt
                done += await self._advance(schedule, attempt)
            except Unavailable:
                raise
            except Exception:
                # For example in a zone that is no more.
                log.exception("schedule %s failed; the others go on", schedule.id)
                failed.add(schedule.id)
        return done, failed

    async def delete_old_runs(self) -> int:
        """A batch of the history that is older than it goes."""
        return await self.runs.delete_old()

    def _split(self, options: CrawlOptions) -> tuple[str, str | None]:
        """The request of a crawl that may be started, as it is kept: without its secrets, and these."""
        try:
            self.service.check_target(options)
        except InvalidRequest as error:
            message = f"crawl: {error.message}"
            raise InvalidRequest(message) from error
        public, secret = split_secrets(options)
        return public.to_json(), secret

    async def _advance(self, schedule: Schedule, attempt: Attempt) -> int:
        advance = await self.runs.advance(schedule, attempt)
        if advance.started is not None:
            await self.doorbell.ring(advance.started)
        return advance.decided

    async def _attempt(self, schedule: Schedule) -> Attempt:
        if schedule.rule.paused:
            # Nothing is started, so nobody's robots.txt is asked for.
            return InvalidRequest("The schedule is paused.")
        return await self._prepare(schedule)

    async def _prepare(self, schedule: Schedule) -> Attempt:
        """The crawl that a schedule starts, or why it may not."""
        try:
            options = self._read_options(schedule)
            # Every run but the first compares with the one before.
            options = options.model_copy(update={"incremental": True})
            new = await self.service.prepare(schedule.account_id, options)
            # A client's own request for the same crawl must not be taken for a repetition of this one.
            new = replace(new, request_hash=schedule.id)
            return Ready(new, await self.crawls.host_of(new))
        except (InvalidRequest, SecretLost) as error:
            return error

    def _read_options(self, schedule: Schedule) -> CrawlOptions:
        """The request of its crawls, with its secrets. Raises InvalidRequest, which the log is told, for the request of
        another version that this one cannot read, and SecretLost."""
        try:
            options = CrawlOptions.from_json(schedule.options)
            secret = self.schedules.open_secret(schedule)
            return options if secret is None else join_secrets(options, secret)
        except ValidationError as error:
            problems = explain(error)
            log.error("schedule %s can start no crawl, its request cannot be read: %s", schedule.id, problems)
            message = f"crawl: this version of the crawler cannot read it: {problems}"
            # Not from the error, which shows values that may be secret.
            raise InvalidRequest(message) from None
