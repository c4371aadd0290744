"""Circuits: origins that fail, one row each while they do (`docs/adr/0015-hosts-that-are-away.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, bindparam, case, delete, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler import urls as url_rules
from crawler.model import ErrorCode, HostSign, Lease, Outcome
from crawler.politeness import Circuit
from crawler.store.database import Database, later_of, now
from crawler.store.schema import circuits, hosts, urls

#: A row that nothing has come of for so long is forgotten.
_KEPT_MS = 86_400_000


class Circuits:
    """The failing origins of one database."""

    def __init__(self, database: Database, circuit: Circuit) -> None:
        self._database = database
        self._circuit = circuit
        dialect = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(circuits).on_conflict_do_nothing()

    async def note_signs(self, connection: AsyncConnection, outcomes: Iterable[Outcome]) -> None:
        """Write down what requests said about their origins. Costs nothing where all is well and was before."""
        signs: dict[tuple[int, str], list[tuple[Lease, HostSign]]] = {}
        for outcome in outcomes:
            if outcome.host_sign is not None:
                key = outcome.lease.host_id, url_rules.origin_of(outcome.lease.url)
                signs.setdefault(key, []).append((outcome.lease, outcome.host_sign))
        for (host_id, origin), group in sorted(signs.items()):
            failed = [(lease, sign) for lease, sign in group if sign.failure]
            if failed:
                has_answered = len(failed) < len(group)
                await self._note_failures(connection, host_id, origin, failed, has_answered=has_answered)
            elif any(lease.host_failures for lease, _ in group):
                await connection.execute(delete(circuits).where(*_is(host_id, origin)))

    async def _note_failures(
        self,
        connection: AsyncConnection,
        host_id: int,
        origin: str,
        failed: Sequence[tuple[Lease, HostSign]],
        *,
        has_answered: bool,
    ) -> None:
        """Push the origin out, never bringing its next time forward. Pages that it answered meanwhile end the row.

        What was an answer pushes the host out as well: it is the machine that is overloaded, not a port that is closed.
        """
        circuit = self._circuit
        await connection.execute(self._insert, {"host_id": host_id, "origin": origin})
        known = select(circuits.c.failures).where(*_is(host_id, origin)).with_for_update()
        before = 0 if has_answered else (await connection.execute(known)).scalar_one()
        seen = max(lease.host_failures for lease, _ in failed)
        failures = circuit.count(before, seen=seen, new=len(failed))
        # A failure that does not count any more pushes no further, unless the origin asks for it.
        telling = [sign for _, sign in failed if failures > before or sign.wait_seconds is not None]
        wait_ms = max((self._wait_ms(failures, sign) for sign in telling), default=0)
        is_down = circuit.is_down(failures) and failures > before
        await connection.execute(
            update(circuits)
            .where(*_is(host_id, origin))
            .values(
                failures=failures,
                failure=failed[-1][1].failure,
                pause_ms=_milliseconds(circuit.pause(failures)),
                down_until_at=now() + _milliseconds(circuit.down) if is_down else circuits.c.down_until_at,
                next_try_at=later_of(circuits.c.next_try_at, now() + wait_ms),
            )
        )
        answers = [sign for sign in telling if sign.failure is ErrorCode.HTTP_ERROR]
        if answers:
            held_ms = max(self._wait_ms(failures, sign) for sign in answers)
            await connection.execute(
                update(hosts)
                .where(hosts.c.id == host_id)
                .values(next_fetch_at=later_of(hosts.c.next_fetch_at, now() + held_ms))
            )

    def _wait_ms(self, failures: int, sign: HostSign) -> int:
        asked = None if sign.wait_seconds is None else timedelta(seconds=sign.wait_seconds)
        return _milliseconds(self._circuit.backoff(failures, asked))

    async def delete_stale(self) -> int:
        """Forget origins that nobody has asked for lately. Returns how many went. Raises Unavailable."""
        over = now() - _KEPT_MS
        stale = (circuits.c.next_try_at < over) & (circuits.c.down_until_at < over)
        # In the order of the index, or Postgres would expect to find one sooner without it.
        look = select(circuits.c.host_id).where(stale).order_by(circuits.c.next_try_at).limit(1)
        if not await self._database.has(look):
            return 0
        async with self._database.write() as connection:
            return (await connection.execute(delete(circuits).where(stale))).rowcount


def has_circuit() -> ColumnElement[bool]:
    """Whether an origin of this row of `hosts` fails."""
    return exists().where(circuits.c.host_id == hosts.c.id)


def is_paused() -> ColumnElement[bool]:
    """Whether the origin of this row of `urls` fails and may not be tried yet; if it is down its pages end at once."""
    prefix = circuits.c.origin + "/"
    return exists().where(
        circuits.c.host_id == urls.c.host_id,
        circuits.c.next_try_at > now(),
        circuits.c.down_until_at <= now(),
        func.substr(urls.c.url, 1, func.length(prefix)) == prefix,
    )


_down_ms = circuits.c.down_until_at - now()

#: A page of the origin is handed out: the next one may be after the pause that is in force.
TRY = (
    update(circuits)
    .where(circuits.c.host_id == bindparam("of_host"), circuits.c.origin == bindparam("of_origin"))
    .values(
        next_try_at=case(
            (circuits.c.down_until_at > now(), circuits.c.next_try_at),
            else_=later_of(circuits.c.next_try_at, now() + circuits.c.pause_ms),
        )
    )
    .returning(circuits.c.failures, circuits.c.failure, _down_ms.label("down_ms"))
)

#: When the first paused origin of a host may be tried.
NEXT_TRY = select(func.min(circuits.c.next_try_at)).where(
    circuits.c.host_id == bindparam("of_host"), circuits.c.next_try_at > now()
)


def _is(host_id: int, origin: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return circuits.c.host_id == host_id, circuits.c.origin == origin


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
