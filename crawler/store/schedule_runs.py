"""What becomes of the due times of schedules: one row for each, written with the crawl that it started."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Update, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.errors import InvalidRequest, NotFound, RateLimited, SecretLost
from crawler.model import CrawlStatus, Kind
from crawler.options.parse import explain
from crawler.schedules import Backlog, Decision, Limits, Overlap, RunStatus, decide, list_backlog
from crawler.store.crawls import Crawls, NewCrawl, Quotas
from crawler.store.database import Database, now
from crawler.store.finish import lock_crawls
from crawler.store.schedules import Schedule, read_schedule
from crawler.store.schema import crawls, schedule_runs, schedules
from crawler.store.transitions import end_crawl

#: Due times decided in one transaction.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one due time. Times are milliseconds since the epoch."""

    id: int
    due_at: int
    is_manual: bool
    status: RunStatus
    #: Why it was refused.
    reason: str
    crawl_id: str | None
    decided_at: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A crawl that may be started: `host_id` is that of its seed."""

    new: NewCrawl
    host_id: int


#: A crawl to start, or why none may be.
Attempt = Ready | InvalidRequest | SecretLost


@dataclass(frozen=True, slots=True)
class Pending:
    """Schedules to look at, and by id why the rules of others cannot be read: those of another version."""

    schedules: list[Schedule]
    unreadable: dict[str, str]


@dataclass(frozen=True, slots=True)
class Advance:
    """What one look at a schedule did: due times decided, and the kind of the crawl that it started."""

    decided: int = 0
    started: Kind | None = None


class ScheduleRuns:
    """Runs of the schedules of one database."""

    def __init__(
        self, database: Database, crawls: Crawls, quotas: Quotas, limits: Limits, *, retention_ms: int
    ) -> None:
        """`retention_ms`: how long a crawl that is cancelled for the next one is kept."""
        self._database = database
        self._crawls = crawls
        self._quotas = quotas
        self._limits = limits
        self._retention_ms = retention_ms
        dialect = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(schedule_runs).on_conflict_do_nothing()

    async def pending(self, limit: int, *, but: Collection[str]) -> Pending:
        """Schedules that are due, longest first, and those with a run whose turn has come. `but`: ids to leave out."""
        waits = schedules.c.id.in_(
            select(schedule_runs.c.schedule_id).where(schedule_runs.c.status == RunStatus.QUEUED)
        )
        runs_on = exists().where(
            crawls.c.id == schedules.c.last_crawl_id, crawls.c.status == CrawlStatus.RUNNING
        )
        statement = (
            select(schedules)
            .where(
                or_(schedules.c.next_due_at <= now(), waits & ~runs_on),
                schedules.c.id.not_in(self._database.members("but", str)),
            )
            .order_by(schedules.c.next_due_at)
            .limit(limit)
        )
        pending = Pending([], {})
        async with self._database.read() as connection:
            for row in (await connection.execute(statement, {"but": json.dumps(list(but))})).mappings():
                try:
                    pending.schedules.append(read_schedule(row))
                except ValidationError as error:
                    pending.unreadable[row["id"]] = explain(error)
        return pending

    async def advance(self, schedule: Schedule, attempt: Attempt) -> Advance:
        """Decide the next due times of a schedule, and start the crawl that they or a waiting run ask for.

        All in one transaction: the rows, the crawl and the step to the next due time. Does nothing if another
        scheduler is at it or was quicker, or the owner has changed the schedule since `attempt` was made.
        """
        async with self._database.write() as connection:
            locked = await _lock(connection, schedule.id, skip_locked=True)
            if locked is None or locked.version != schedule.version:
                return Advance()
            clock = (await connection.execute(select(now()))).scalar_one()
            waiting = await _waiting(connection, locked)
            is_running = await _is_running(connection, locked)
            decided, crawl_id = 0, None
            if waiting and locked.rule.paused:
                await _drop_waiting(connection, locked)
                decided, waiting = len(waiting), []
            elif waiting and not is_running:
                decided, crawl_id = 1, await self._start(connection, locked, waiting.pop(0), attempt)
            first = locked.next_due_at
            if first is not None and first <= clock:
                if crawl_id is not None:
                    is_running, locked = True, replace(locked, last_crawl_id=crawl_id)
                backlog = list_backlog(locked.timing, first, clock, self._limits, batch=_BATCH)
                decisions = decide(
                    backlog, locked.rule, clock, self._limits, is_running=is_running, queued=len(waiting)
                )
                crawl_id = await self._record(connection, locked, decisions, attempt) or crawl_id
                step = update(schedules).where(schedules.c.id == locked.id)
                await connection.execute(step.values(next_due_at=backlog.following))
                # A step over due times that are too old to be recorded is progress too.
                decided += max(1, len(decisions))
        return Advance(decided, attempt.new.kind if crawl_id and isinstance(attempt, Ready) else None)

    async def run_now(self, schedule: Schedule, attempt: Attempt) -> tuple[Run, Kind | None]:
        """A run that its owner asks for, paused or not; the overlap policy holds. Raises NotFound."""
        async with self._database.write() as connection:
            locked = await _lock(connection, schedule.id, skip_locked=False)
            if locked is None:
                raise NotFound("Schedule not found")
            clock = (await connection.execute(select(now()))).scalar_one()
            (decision,) = decide(
                Backlog((clock,), ahead=0, following=None),
                locked.rule.model_copy(update={"paused": False}),
                clock,
                self._limits,
                is_running=await _is_running(connection, locked),
                queued=len(await _waiting(connection, locked)),
            )
            row = {"schedule_id": locked.id, "due_at": clock, "status": decision.status, "is_manual": True}
            made = self._insert.values(**row, decided_at=now()).returning(schedule_runs.c.id)
            run_id = (await connection.execute(made)).scalar_one()
            crawl_id = None
            if decision.status is RunStatus.RAN:
                crawl_id = await self._start(connection, locked, run_id, attempt)
            written = await connection.execute(select(schedule_runs).where(schedule_runs.c.id == run_id))
            started = attempt.new.kind if crawl_id and isinstance(attempt, Ready) else None
            return _read_run(written.mappings().one()), started

    async def list_runs(self, schedule_id: str, *, before: int | None, limit: int) -> list[Run]:
        """Runs of a schedule, newest first, older than the run `before`."""
        statement = select(schedule_runs).where(schedule_runs.c.schedule_id == schedule_id)
        if before is not None:
            statement = statement.where(schedule_runs.c.id < before)
        async with self._database.read() as connection:
            rows = await connection.execute(statement.order_by(schedule_runs.c.id.desc()).limit(limit))
            return [_read_run(row) for row in rows.mappings()]

    async def delete_old(self, *, batch: int = 1_000) -> int:
        """Delete up to `batch` runs that are older than the history goes. Returns how many went."""
        old = (
            select(schedule_runs.c.id)
            .where(
                schedule_runs.c.decided_at < now() - self._limits.history_ms,
                schedule_runs.c.status != RunStatus.QUEUED,
            )
            .limit(batch)
        )
        async with self._database.write() as connection:
            return (
                await connection.execute(delete(schedule_runs).where(schedule_runs.c.id.in_(old)))
            ).rowcount

    async def _record(
        self, connection: AsyncConnection, schedule: Schedule, decisions: Sequence[Decision], attempt: Attempt
    ) -> str | None:
        """Write the decisions, and start what is to start. Returns the id of the crawl."""
        rows = [
            {"schedule_id": schedule.id, "due_at": decision.due_at, "status": decision.status}
            for decision in decisions
        ]
        if rows:
            await connection.execute(self._insert.values(decided_at=now()), rows)
        start = next((decision for decision in decisions if decision.status is RunStatus.RAN), None)
        if start is None:
            return None
        of_schedule = schedule_runs.c.schedule_id == schedule.id
        unstarted = select(schedule_runs.c.id).where(
            of_schedule, schedule_runs.c.due_at == start.due_at, schedule_runs.c.status == RunStatus.RAN,
            schedule_runs.c.crawl_id.is_(None),
        )  # fmt: skip
        run_id = (await connection.execute(unstarted)).scalar()
        if run_id is None:
            # The database's clock went back: this time has had its run.
            return None
        crawl_id = await self._start(connection, schedule, run_id, attempt)
        if crawl_id is None:
            # The others gave way to a crawl that was not to be; it would have been refused to them as well.
            gave_way = [decision.due_at for decision in decisions if decision.is_runnable]
            refused = update(schedule_runs).where(
                of_schedule,
                schedule_runs.c.due_at.in_(gave_way),
                schedule_runs.c.status.in_([RunStatus.SKIPPED_OVERLAP, RunStatus.QUEUED]),
            )
            reason = select(schedule_runs.c.reason).where(schedule_runs.c.id == run_id).scalar_subquery()
            await connection.execute(refused.values(status=RunStatus.REFUSED, reason=reason))
        return crawl_id

    async def _start(
        self, connection: AsyncConnection, schedule: Schedule, run_id: int, attempt: Attempt
    ) -> str | None:
        """Start the crawl of a run, and write into the run what came of it. Returns the crawl's id."""
        try:
            if not isinstance(attempt, Ready):
                raise attempt
            # Where a quota refuses the new crawl, the one before is not cancelled for it.
            async with connection.begin_nested():
                if schedule.rule.overlap is Overlap.CANCEL_PREVIOUS and schedule.last_crawl_id is not None:
                    await lock_crawls(connection, [schedule.last_crawl_id])
                    await end_crawl(
                        connection, schedule.last_crawl_id, CrawlStatus.CANCELLED_BY_USER, self._retention_ms
                    )
                crawl_id = await self._crawls.insert(connection, attempt.new, self._quotas, attempt.host_id)
        except (InvalidRequest, RateLimited, SecretLost) as error:
            outcome = {"status": RunStatus.REFUSED, "reason": error.message}
            await connection.execute(_update_run(run_id).values(**outcome, decided_at=now()))
            return None
        outcome = {"status": RunStatus.RAN, "crawl_id": crawl_id}
        await connection.execute(_update_run(run_id).values(**outcome, decided_at=now()))
        last = update(schedules).where(schedules.c.id == schedule.id).values(last_crawl_id=crawl_id)
        await connection.execute(last)
        return crawl_id


async def _lock(connection: AsyncConnection, schedule_id: str, *, skip_locked: bool) -> Schedule | None:
    statement = select(schedules).where(schedules.c.id == schedule_id)
    locking = statement.with_for_update(skip_locked=skip_locked)
    row = (await connection.execute(locking)).mappings().first()
    return None if row is None else read_schedule(row)


async def _is_running(connection: AsyncConnection, schedule: Schedule) -> bool:
    statement = select(func.count()).where(
        crawls.c.id == schedule.last_crawl_id, crawls.c.status == CrawlStatus.RUNNING
    )
    return bool((await connection.execute(statement)).scalar_one())


async def _waiting(connection: AsyncConnection, schedule: Schedule) -> list[int]:
    """Ids of the runs that wait for the crawl before, oldest first."""
    statement = select(schedule_runs.c.id).where(_is_waiting(schedule)).order_by(schedule_runs.c.id)
    return list((await connection.execute(statement)).scalars())


async def _drop_waiting(connection: AsyncConnection, schedule: Schedule) -> None:
    dropped = update(schedule_runs).where(_is_waiting(schedule))
    await connection.execute(dropped.values(status=RunStatus.SKIPPED_PAUSED, decided_at=now()))


def _is_waiting(schedule: Schedule) -> ColumnElement[bool]:
    return and_(schedule_runs.c.schedule_id == schedule.id, schedule_runs.c.status == RunStatus.QUEUED)


def _update_run(run_id: int) -> Update:
    return update(schedule_runs).where(schedule_runs.c.id == run_id)


def _read_run(row: Any) -> Run:
    columns = {name: value for name, value in row.items() if name != "schedule_id"}
    return Run(**(columns | {"status": RunStatus(row["status"])}))
