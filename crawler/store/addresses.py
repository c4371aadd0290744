"""Addresses: requests to one are kept apart over all hosts that are there (`docs/adr/0021-turns-at-addresses.md`)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, case, delete, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from crawler.store.database import Database, later_of, now
from crawler.store.schema import addresses, hosts

#: A turn so near is waited for; whoever would wait longer is turned away, so that few pages ever wait here.
_PATIENCE_MS = 200
#: Hosts that are turned away ask again one after another, within this time.
_ROUND_MS = 300_000
#: A row whose times are over so long says nothing any more; one so far ahead was written before the clock jumped back.
_IDLE_MS = 60_000
_FAR_MS = 900_000


@dataclass(frozen=True, slots=True)
class AddressTurn:
    """A turn at an address: when it begins, and whether no other host has asked for one lately."""

    wait_seconds: float
    is_only_host: bool


class Addresses:
    """Turns at the addresses of one database, at least `gap_ms` apart."""

    def __init__(self, database: Database, *, gap_ms: int) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        first = dialect.insert(addresses).values(
            address=bindparam("address"), host=bindparam("host"), next_at=now() + gap_ms
        )
        next_turn = {
            "next_at": later_of(addresses.c.next_at, now()) + gap_ms,
            "host": case((addresses.c.host == first.excluded.host, addresses.c.host), else_=null()),
        }
        turn = ((addresses.c.next_at - gap_ms - now()).label("wait_ms"), addresses.c.host)
        self._reserve = first.on_conflict_do_update(
            index_elements=[addresses.c.address], set_=next_turn
        ).returning(*turn)
        self._take = first.on_conflict_do_update(
            index_elements=[addresses.c.address],
            set_=next_turn,
            where=addresses.c.next_at <= now() + _PATIENCE_MS,
        ).returning(*turn)
        last = later_of(addresses.c.ask_again_at, addresses.c.next_at)
        self._turn_away = (
            update(addresses)
            .where(addresses.c.address == bindparam("of_address"))
            .values(
                ask_again_at=case((last > now() + _ROUND_MS, addresses.c.next_at), else_=last) + gap_ms,
                host=null(),
            )
            .returning(addresses.c.ask_again_at)
        )
        self._hold_back = (
            update(hosts)
            .where(hosts.c.name == bindparam("of_host"))
            .values(next_fetch_at=later_of(hosts.c.next_fetch_at, bindparam("at")))
        )
        over = now() - _IDLE_MS
        self._is_idle = or_(
            (addresses.c.next_at < over) & (addresses.c.ask_again_at < over),
            addresses.c.next_at > now() + _FAR_MS,
        )

    async def take(self, address: str, host: str) -> AddressTurn | None:
        """Take the next turn at an address if it is near.

        None when too many wait there already: then nothing is taken, and the host is handed out again when it is
        likely to get a turn. Raises Unavailable.
        """
        async with self._database.write() as connection:
            row = (await connection.execute(self._take, {"address": address, "host": host})).first()
            if row is None:
                away = await connection.execute(self._turn_away, {"of_address": address})
                await connection.execute(self._hold_back, {"of_host": host, "at": away.scalar_one()})
        return None if row is None else AddressTurn(max(0, row.wait_ms) / 1000, row.host is not None)

    async def reserve(self, address: str, host: str) -> AddressTurn:
        """Take the next turn at an address however far it is. Raises Unavailable."""
        async with self._database.write() as connection:
            row = (await connection.execute(self._reserve, {"address": address, "host": host})).one()
        return AddressTurn(max(0, row.wait_ms) / 1000, row.host is not None)

    async def delete_idle(self) -> int:
        """Forget addresses that nobody has asked for lately. Returns how many went. Raises Unavailable."""
        # No index: there are no more rows than were asked for in a minute, and each request writes to one.
        if not await self._database.has(select(addresses.c.address).where(self._is_idle).limit(1)):
            return 0
        async with self._database.write() as connection:
            return (await connection.execute(delete(addresses).where(self._is_idle))).rowcount
