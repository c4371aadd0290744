"""The frontier: which URL may be fetched next, by whom, until when.

Invariants
- A URL is leased to one holder at a time: only a queued row can be leased, and only its token finishes it.
- A host with an interval is handed out at most once per interval over all crawls, workers and modes, because its
  row's `next_fetch_at` is moved in the same transaction.
- An attempt is counted when the lease is given, so a URL that kills its worker is not tried for ever.

Order of locks, the same everywhere so that nothing dead-locks: crawls, then urls, then hosts; a lease takes hosts
first but never waits for them (`SKIP LOCKED`).
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Row,
    exists,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import ErrorCode, Kind, Lease, Role, UrlStatus
from crawler.settings import LONGEST_DOWN_SECONDS
from crawler.store.account_turns import AccountTurns
from crawler.store.circuits import NEXT_TRY, TRY
from crawler.store.database import Database, now
from crawler.store.lease_statements import ACCOUNTS_PER_CLAIM, LeaseStatements
from crawler.store.schema import hosts, urls
from crawler.urls import host_of, origin_of

#: A lease that has run out is left alone so long at most, milliseconds: its holder may be ending the page just now.
_LONGEST_GRACE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Leased:
    """What `lease` handed out, and when (seconds from now) there may be more; None: nothing is waiting."""

    leases: tuple[Lease, ...]
    next_due_seconds: float | None


@dataclass(frozen=True, slots=True)
class Politeness:
    """The intervals in force: the default one, and how many requests at once a host without interval takes."""

    default_delay_ms: int
    host_concurrency: int


class Frontier:
    """Leases of one database. `monotonic` stamps the moment of a politeness grant."""

    def __init__(
        self,
        database: Database,
        politeness: Politeness,
        *,
        lease_ms: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._politeness = politeness
        self._lease_ms = lease_ms
        self._grace_ms = min(_LONGEST_GRACE_MS, lease_ms // 4)
        self._monotonic = monotonic
        self._statements = {
            kind: LeaseStatements(database, kind, politeness.default_delay_ms) for kind in Kind
        }
        self._account_turns = {kind: AccountTurns(kind, monotonic=monotonic) for kind in Kind}

    async def lease(self, kind: Kind, slots: int) -> Leased:
        """Lease up to `slots` URLs of due hosts, the longest-waiting host first, one URL of each per interval. When
        there are more than the workers can take, accounts take turns."""
        statements, account_turns = self._statements[kind], self._account_turns[kind]
        async with self._database.write() as connection:
            granted = self._monotonic()
            due = await self._claim(connection, statements, account_turns.next(slots), slots)
            rows: Sequence[Row[Any]] = ()
            circuits: Mapping[int, Row[Any]] = {}
            token = str(uuid4())
            if due:
                rows = await self._pick(connection, statements, due, slots, token)
                found = {row.host_id for row in rows}
                circuits = await self._try_origins(connection, due, rows)
                idle = [host for host in due if host.id not in found]
                if idle:
                    await self._park(connection, statements, idle)
                await self._name(connection, statements, due, rows)
            wait_ms = None
            if len(rows) < slots:
                wait_ms = (await connection.execute(statements.next_due)).scalar()
            if wait_ms is None or wait_ms < 0:
                await account_turns.look(connection)
            else:
                account_turns.rest()
        by_id = {host.id: host for host in due}
        leases = tuple(
            Lease(
                url_id=row.id,
                crawl_id=row.crawl_id,
                seq=row.seq,
                url=row.url,
                role=Role(row.role),
                kind=kind,
                depth=row.depth,
                attempt=row.attempts,
                token=token,
                host=by_id[row.host_id].name,
                host_id=row.host_id,
                granted_monotonic=granted,
                next_fetch_at=by_id[row.host_id].next_fetch_at,
                interval_ms=by_id[row.host_id].interval_ms,
                lastmod_at=row.lastmod_at,
                host_failures=circuits[row.id].failures if row.id in circuits else 0,
                host_down=_why_down(circuits.get(row.id)),
            )
            for row in sorted(rows, key=lambda row: row.id)
        )
        return Leased(leases, None if wait_ms is None else max(0, wait_ms) / 1000)

    async def _claim(
        self, connection: AsyncConnection, statements: LeaseStatements, accounts: Sequence[str], slots: int
    ) -> Sequence[Row[Any]]:
        """Claim due hosts: of these accounts, if they have any, else of all."""
        if accounts:
            # Fewer accounts than the statement has places for: naming one twice changes nothing.
            places = itertools.islice(itertools.cycle(accounts), ACCOUNTS_PER_CLAIM)
            names = {f"account_{number}": account for number, account in enumerate(places)}
            share = slots // len(accounts)
            due = await connection.execute(statements.claim_hosts_of, {**names, "share": share})
            if rows := list(due):
                return rows
        return list(await connection.execute(statements.claim_hosts, {"slots": slots}))

    async def _name(
        self,
        connection: AsyncConnection,
        statements: LeaseStatements,
        due: Sequence[Row[Any]],
        rows: Sequence[Row[Any]],
    ) -> None:
        """A host's next turn is charged to the account that has had this one."""
        named = {host.id: host.account_id for host in due}
        for row in rows:
            if named[row.host_id] != row.account_id:
                named[row.host_id] = row.account_id
                parameters = {"host_id": row.host_id, "account_of_host": row.account_id}
                await connection.execute(statements.name_hosts, parameters)

    async def _pick(
        self,
        connection: AsyncConnection,
        statements: LeaseStatements,
        due: Sequence[Row[Any]],
        slots: int,
        token: str,
    ) -> list[Row[Any]]:
        """Stamp the best queued URLs of these hosts: one each, more where the interval is zero and nothing fails."""
        stamp = {"token": token, "lease_ms": self._lease_ms}
        picked: list[Row[Any]] = []
        polite = [host.id for host in due if host.interval_ms > 0 or host.has_circuit]
        if polite:
            result = await connection.execute(
                statements.stamp_one_each, {**stamp, "host_ids": json.dumps(polite)}
            )
            picked.extend(result.all())
        free = [host.id for host in due if host.interval_ms == 0 and not host.has_circuit]
        for position, host_id in enumerate(free):
            share = (slots - len(picked)) // (len(free) - position)
            busy = (await connection.execute(statements.count_leased, {"host_id": host_id})).scalar_one()
            share = min(share, self._politeness.host_concurrency - busy)
            if share > 0:
                result = await connection.execute(
                    statements.stamp_several, {**stamp, "host": host_id, "share": share}
                )
                picked.extend(result.all())
        return picked

    async def _try_origins(
        self, connection: AsyncConnection, due: Sequence[Row[Any]], rows: Sequence[Row[Any]]
    ) -> dict[int, Row[Any]]:
        """By URL: the circuit of its origin, if that fails. Its next page has to wait for the pause in force."""
        failing = {host.id for host in due if host.has_circuit}
        tried = {}
        for row in rows:
            if row.host_id in failing:
                parameters = {"of_host": row.host_id, "of_origin": origin_of(row.url)}
                circuit = (await connection.execute(TRY, parameters)).first()
                if circuit is not None:
                    tried[row.id] = circuit
        return tried

    async def _park(
        self, connection: AsyncConnection, statements: LeaseStatements, idle: Sequence[Row[Any]]
    ) -> None:
        """Hosts without a URL to hand out: wait for their next retry, for an origin, or until something is queued."""
        parameters = {"host_ids": json.dumps([host.id for host in idle])}
        later = {row.host_id: row.at for row in await connection.execute(statements.next_queued, parameters)}
        for host in idle:
            if host.id not in later:
                await connection.execute(statements.park, {"host_id": host.id})
                continue
            at = later[host.id]
            if host.has_circuit:
                next_try_at = (await connection.execute(NEXT_TRY, {"of_host": host.id})).scalar()
                at = at if next_try_at is None else next_try_at
            await connection.execute(statements.wait_until, {"host_id": host.id, "at": at})

    async def extend(self, leases: Sequence[Lease]) -> frozenset[int]:
        """The heartbeat: hold these leases for another period. Returns the ids of those that are still ours."""
        if not leases:
            return frozenset()
        ours = (
            select(urls.c.id)
            .where(
                urls.c.id.in_(self._database.members("ids", int)),
                urls.c.lease_token.in_(self._database.members("tokens", str)),
                urls.c.status == UrlStatus.LEASED,
            )
            # In the same order as a finish locks them, which may be of the same pages.
            .order_by(urls.c.id)
            .with_for_update(key_share=True)
            .cte("ours")
        )
        statement = (
            update(urls)
            .where(urls.c.id.in_(select(ours.c.id)))
            .values(leased_until_at=now() + self._lease_ms)
            .returning(urls.c.id)
        )
        parameters = {
            "ids": json.dumps([lease.url_id for lease in leases]),
            "tokens": json.dumps(sorted({lease.token for lease in leases})),
        }
        async with self._database.write() as connection:
            return frozenset((await connection.execute(statement, parameters)).scalars())

    async def renew(self, lease: Lease) -> int | None:
        """Begin the turn of this lease again, now. Returns the host's next time, None when somebody else has had the
        next turn, or the lease."""
        statement = (
            update(hosts)
            .where(
                hosts.c.id == lease.host_id,
                hosts.c.next_fetch_at == lease.next_fetch_at,
                exists().where(urls.c.id == lease.url_id, urls.c.lease_token == lease.token),
            )
            .values(next_fetch_at=now() + lease.interval_ms)
            .returning(hosts.c.next_fetch_at)
        )
        async with self._database.write() as connection:
            next_at: int | None = (await connection.execute(statement)).scalar()
            return next_at

    async def is_due(self, kind: Kind) -> bool:
        """Whether a host has a URL of this kind that may be fetched now."""
        async with self._database.read() as connection:
            wait_ms = (await connection.execute(self._statements[kind].next_due)).scalar()
        return wait_ms is not None and wait_ms <= 0

    async def take_over(self, limit: int = 100) -> list[Lease]:
        """Leases whose holder has been silent too long, now held by the caller: a holder that wakes up can neither
        extend nor finish them. Finish them: again queued, or `worker_lost`."""
        silent = (urls.c.status == UrlStatus.LEASED) & (urls.c.leased_until_at < now() - self._grace_ms)
        if not await self._database.has(select(urls.c.id).where(silent).limit(1)):
            return []
        chosen = select(urls.c.id).where(silent).limit(limit).with_for_update(skip_locked=True).cte("chosen")
        token = str(uuid4())
        statement = (
            update(urls)
            .where(urls.c.id.in_(select(chosen.c.id)), silent)
            .values(lease_token=token, leased_until_at=now() + self._lease_ms)
            .returning(urls)
        )
        async with self._database.write() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            Lease(
                url_id=row.id,
                crawl_id=row.crawl_id,
                seq=row.seq,
                url=row.url,
                role=Role(row.role),
                kind=Kind(row.kind),
                depth=row.depth,
                attempt=row.attempts,
                token=token,
                host=host_of(row.url),
                host_id=row.host_id,
                granted_monotonic=0.0,
                next_fetch_at=0,
                interval_ms=0,
            )
            for row in rows
        ]


def _why_down(circuit: Row[Any] | None) -> ErrorCode | None:
    # A longer time than any can be was written before the clock jumped back.
    if circuit is None or not 0 < circuit.down_ms <= LONGEST_DOWN_SECONDS * 1000:
        return None
    return ErrorCode(circuit.failure)
