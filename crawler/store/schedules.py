"""Schedules as their owners keep them. What becomes of their due times is in `crawler.store.schedule_runs`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from crawler.errors import InvalidRequest, NotFound, SecretLost
from crawler.schedules import ScheduleRule, Timing
from crawler.store.database import Database, now
from crawler.store.schema import accounts, schedules
from crawler.store.secrets import KeyRing


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule. Times are milliseconds since the epoch, by the database's clock."""

    id: str
    account_id: str
    rule: ScheduleRule
    #: The crawl's request as JSON, without what is in `sealed`.
    options: str
    sealed: bytes | None = field(repr=False)
    #: Grows with every change by the owner.
    version: int
    #: Where intervals are counted from.
    anchor_at: int
    #: None: never again.
    next_due_at: int | None
    last_crawl_id: str | None
    created_at: int

    @property
    def timing(self) -> Timing:
        """Its due times."""
        return Timing(self.rule, self.anchor_at, self.id)


class Schedules:
    """Schedules of one database. Every method takes the account that asks; another one's do not exist for it."""

    def __init__(self, database: Database, ring: KeyRing, *, max_per_account: int) -> None:
        self._database = database
        self._ring = ring
        self._max_per_account = max_per_account
        dialect = sqlite if database.is_sqlite else postgresql
        self._insert_account = dialect.insert(accounts).on_conflict_do_nothing()

    async def add(
        self, account_id: str, rule: ScheduleRule, options: str, secret: str | None, at: int
    ) -> Schedule:
        """Keep a new schedule, made at the moment `at`; `secret` is kept encrypted.

        Raises InvalidRequest when the account has too many, or where no secret can be kept.
        """
        schedule_id = str(uuid4())
        added = Schedule(
            id=schedule_id,
            account_id=account_id,
            rule=rule,
            options=options,
            sealed=None if secret is None else self._ring.seal(schedule_id, secret),
            version=1,
            anchor_at=at,
            next_due_at=next(Timing(rule, at, schedule_id).after(at), None),
            last_crawl_id=None,
            created_at=at,
        )
        async with self._database.write() as connection:
            await connection.execute(self._insert_account.values(id=account_id, created_at=now()))
            # One POST of an account at a time, or two would count the same schedules.
            await connection.execute(
                select(accounts.c.id).where(accounts.c.id == account_id).with_for_update()
            )
            number = select(func.count()).where(schedules.c.account_id == account_id)
            if (await connection.execute(number)).scalar_one() >= self._max_per_account:
                message = f"This account may have {self._max_per_account} schedules; remove one first."
                raise InvalidRequest(message)
            await connection.execute(insert(schedules).values(**_columns(added)))
        return added

    async def get(self, account_id: str, schedule_id: str) -> Schedule:
        """Raises NotFound."""
        statement = select(schedules).where(
            schedules.c.id == schedule_id, schedules.c.account_id == account_id
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise NotFound("Schedule not found")
        return read_schedule(row)

    async def list_all(self, account_id: str) -> list[Schedule]:
        """All of the account, newest first; their number is limited."""
        statement = (
            select(schedules)
            .where(schedules.c.account_id == account_id)
            .order_by(schedules.c.created_at.desc(), schedules.c.id.desc())
        )
        async with self._database.read() as connection:
            return [read_schedule(row) for row in (await connection.execute(statement)).mappings()]

    async def change(
        self, before: Schedule, rule: ScheduleRule, crawl: tuple[str, str | None] | None, at: int
    ) -> bool:
        """Give a schedule another rule, and another crawl (request and secret) if there is one.

        Where its times change they are counted from `at`. Returns False when somebody else has changed, removed or
        fired it since `before` was read.
        """
        values: dict[str, object] = {"rule": rule.to_json(), "version": before.version + 1}
        if crawl is not None:
            options, secret = crawl
            sealed = None if secret is None else self._ring.seal(before.id, secret)
            values |= {"options": options, "sealed": sealed}
        if not rule.has_timing_of(before.rule):
            following = next(Timing(rule, at, before.id).after(at), None)
            values |= {"anchor_at": at, "next_due_at": following}
        statement = (
            update(schedules)
            .where(
                schedules.c.id == before.id,
                schedules.c.version == before.version,
                schedules.c.next_due_at.is_not_distinct_from(before.next_due_at),
            )
            .values(**values)
        )
        async with self._database.write() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def remove(self, account_id: str, schedule_id: str) -> None:
        """Forget a schedule, its secrets and its history. A crawl that it started goes on. Raises NotFound."""
        statement = delete(schedules).where(
            schedules.c.id == schedule_id, schedules.c.account_id == account_id
        )
        async with self._database.write() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound("Schedule not found")

    def open_secret(self, schedule: Schedule) -> str | None:
        """What is kept encrypted, None when nothing is. Raises SecretLost when no key fits."""
        if schedule.sealed is None:
            return None
        text = self._ring.open(schedule.id, schedule.sealed)
        if text is None:
            raise SecretLost("No key of CRAWL_SECRET_KEYS opens the secrets of this schedule.")
        return text


def read_schedule(row: Any) -> Schedule:
    """A row of the table as a value."""
    return Schedule(**(dict(row) | {"rule": ScheduleRule.from_json(row["rule"])}))


def _columns(schedule: Schedule) -> dict[str, object]:
    columns = {column.name: getattr(schedule, column.name) for column in schedules.columns}
    return columns | {"rule": schedule.rule.to_json()}
