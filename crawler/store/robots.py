"""robots.txt files as they were fetched, one row per origin, shared by all workers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import zstandard
from sqlalchemy import Row, Select, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from crawler.store.database import Database, later_of, now
from crawler.store.schema import hosts, robots


class RobotsState(StrEnum):
    """FOUND: there are rules; NONE: everything is allowed; UNREACHABLE: nothing is (RFC 9309 2.3.1)."""

    FOUND = "found"
    NONE = "none"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class StoredRobots:
    """A robots.txt. `reason` says why it is unreachable; `failures` counts tries in a row that brought nothing."""

    state: RobotsState
    body: bytes
    reason: str
    failures: int
    age_seconds: float
    expires_in_seconds: float


@dataclass(frozen=True, slots=True)
class Claim:
    """Ours to fetch now; `previous` is what is known from before."""

    previous: StoredRobots | None


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker is fetching it; ask again after so long."""

    seconds: float


class RobotsFiles:
    """robots.txt files of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(robots).on_conflict_do_nothing()

    async def get(self, origin: str) -> StoredRobots | None:
        """The valid file of an origin."""
        async with self._database.read() as connection:
            row = (await connection.execute(_of(origin))).first()
        return _stored(row) if row is not None and row.expires_at > row.now else None

    async def get_or_claim(self, origin: str, *, claim_seconds: float) -> StoredRobots | Claim | Busy:
        """The valid file of an origin, or the right to fetch it, which runs out after `claim_seconds`."""
        stored = await self.get(origin)
        if stored is not None:
            return stored
        async with self._database.write() as connection:
            await connection.execute(self._insert, {"origin": origin, "state": RobotsState.UNREACHABLE})
            row = (await connection.execute(_of(origin).with_for_update())).one()
            if row.expires_at > row.now:
                return _stored(row)
            if row.fetching_until_at > row.now:
                return Busy(min(1.0, (row.fetching_until_at - row.now) / 1000))
            await connection.execute(
                update(robots)
                .where(robots.c.origin == origin)
                .values(fetching_until_at=now() + round(claim_seconds * 1000))
            )
        return Claim(None if row.fetched_at == 0 else _stored(row))

    async def store(
        self,
        origin: str,
        host_id: int,
        state: RobotsState,
        *,
        body: bytes,
        reason: str,
        failures: int,
        ttl_seconds: float,
        keeps_age: bool,
        crawl_delay_ms: int | None,
    ) -> None:
        """Write what a fetch brought. `keeps_age`: it is the file from before, used a little longer."""
        values: dict[str, Any] = {
            "state": state,
            "body": zstandard.compress(body),
            "reason": reason,
            "failures": failures,
            "expires_at": now() + round(ttl_seconds * 1000),
            "fetching_until_at": 0,
        }
        if not keeps_age:
            values["fetched_at"] = now()
        async with self._database.write() as connection:
            await connection.execute(update(robots).where(robots.c.origin == origin).values(values))
            if keeps_age:
                return
            delay: dict[str, Any] = {"crawl_delay_ms": crawl_delay_ms}
            if crawl_delay_ms:
                # The request for robots.txt counts: the next one keeps the new distance from it.
                delay["next_fetch_at"] = later_of(hosts.c.next_fetch_at, now() + crawl_delay_ms)
            await connection.execute(update(hosts).where(hosts.c.id == host_id).values(delay))

    async def delete_stale(self, *, older_than_seconds: float, batch: int = 1_000) -> int:
        """Forget files that ran out long ago. Returns how many went."""
        before = now() - round(older_than_seconds * 1000)
        old = (
            select(robots.c.origin)
            # A file that is being fetched for the first time has run out, too.
            .where(robots.c.expires_at < before, robots.c.fetching_until_at < before)
            # In the order of the index, or Postgres would expect to find one sooner without it.
            .order_by(robots.c.expires_at)
            .limit(bindparam("batch"))
        )
        if not await self._database.has(old, {"batch": 1}):
            return 0
        async with self._database.write() as connection:
            result = await connection.execute(
                delete(robots).where(robots.c.origin.in_(old)), {"batch": batch}
            )
            return result.rowcount


def _of(origin: str) -> Select[Any]:
    return select(robots, now().label("now")).where(robots.c.origin == origin)


def _stored(row: Row[Any]) -> StoredRobots:
    return StoredRobots(
        state=RobotsState(row.state),
        body=zstandard.decompress(row.body) if row.body else b"",
        reason=row.reason,
        failures=row.failures,
        age_seconds=(row.now - row.fetched_at) / 1000,
        expires_in_seconds=(row.expires_at - row.now) / 1000,
    )
