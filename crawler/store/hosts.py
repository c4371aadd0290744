"""Hosts: the unit of politeness, one row each, shared by all crawls, workers and both modes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import Kind, Lease, UrlStatus
from crawler.recent import Recent
from crawler.store.database import Database, encode_rows, later_of, now
from crawler.store.schema import crawls, hosts, urls

#: Host ids remembered per process.
_CACHED_HOSTS = 20_000


#: A host's id and its `next_fetch_at` as somebody knows it, milliseconds; None: whatever it is.
TurnKey = tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class HostTurn:
    """A turn at a host: when it begins, and how long until the next one."""

    host_id: int
    #: The host's `next_fetch_at`: as long as it is this, nobody has had the turn after this one.
    next_at: int
    wait_seconds: float
    interval_seconds: float


class Hosts:
    """Hosts of one database."""

    def __init__(self, database: Database, *, default_delay_ms: int) -> None:
        self._database = database
        self._ids = Recent[str, int](_CACHED_HOSTS)
        dialect = sqlite if database.is_sqlite else postgresql
        self._insert = dialect.insert(hosts).on_conflict_do_nothing()
        self._select = select(hosts.c.name, hosts.c.id).where(
            hosts.c.name.in_(database.members("names", str))
        )
        interval = func.coalesce(hosts.c.crawl_delay_ms, default_delay_ms)
        self._reserve = (
            update(hosts)
            .where(hosts.c.id == bindparam("host_id"))
            .values(next_fetch_at=later_of(hosts.c.next_fetch_at, now()) + interval + bindparam("room_ms"))
            .returning(
                hosts.c.next_fetch_at,
                (hosts.c.next_fetch_at - interval - bindparam("room_ms") - now()).label("wait_ms"),
                interval.label("interval_ms"),
            )
        )
        #: Rows are locked in the order of their ids, here as in `wake`, so that nothing dead-locks.
        self._lock = (
            select(hosts.c.id, hosts.c.next_fetch_at)
            .where(hosts.c.id.in_(database.members("ids", int)))
            .order_by(hosts.c.id)
            .with_for_update(key_share=True)
        )
        held = database.rows("held", id=int, milliseconds=int)
        self._hold_back = (
            update(hosts)
            .where(hosts.c.id == held.c.id)
            .values(next_fetch_at=later_of(hosts.c.next_fetch_at, now() + held.c.milliseconds))
            .returning(hosts.c.id, hosts.c.next_fetch_at)
        )

    async def ensure(self, names: Iterable[str]) -> Mapping[str, int]:
        """The ids of these hosts, made where they are new. In a transaction of its own: rows stay valid even if
        the caller's is rolled back, so they can be remembered."""
        wanted = sorted(set(names))
        ids = {name: known for name in wanted if (known := self._ids.get(name)) is not None}
        missing = [name for name in wanted if name not in ids]
        if missing:
            async with self._database.write() as connection:
                await connection.execute(self._insert, [{"name": name} for name in missing])
                for row in await connection.execute(self._select, {"names": json.dumps(missing)}):
                    ids[row.name] = row.id
                    self._ids.put(row.name, row.id)
        return ids

    async def reserve(self, name: str, *, room_seconds: float = 0.0) -> HostTurn:
        """Take the next turn at a host for one more request, which may leave up to `room_seconds` after its beginning:
        the turn after it is as much later."""
        host_id = (await self.ensure([name]))[name]
        parameters = {"host_id": host_id, "room_ms": round(room_seconds * 1000)}
        async with self._database.write() as connection:
            row = (await connection.execute(self._reserve, parameters)).one()
        return HostTurn(host_id, row.next_fetch_at, max(0, row.wait_ms) / 1000, row.interval_ms / 1000)

    async def lock(self, connection: AsyncConnection, host_ids: Iterable[int]) -> None:
        """Lock these rows until the end of the transaction, for one that is going to change them one by one."""
        await connection.execute(self._lock, {"ids": json.dumps(sorted(host_ids))})

    async def hold_back(self, seconds: Mapping[TurnKey, float]) -> Mapping[TurnKey, int]:
        """Let the next turns of hosts begin no sooner than in so many seconds. Never brings one forward.

        Where a host's next time is not that of the key any more, somebody has had that turn, and nothing changes.
        Returns the next times of the others.
        """
        ids = sorted({host_id for host_id, _ in seconds})
        async with self._database.write() as connection:
            locked = await connection.execute(self._lock, {"ids": json.dumps(ids)})
            found = {row.id: row.next_fetch_at for row in locked}
            held = {key for key in seconds if key[1] is None or key[1] == found.get(key[0])}
            longest: dict[int, float] = {}
            for key in held:
                longest[key[0]] = max(seconds[key], longest.get(key[0], seconds[key]))
            rows = [
                {"id": host_id, "milliseconds": round(longest[host_id] * 1000)} for host_id in sorted(longest)
            ]
            moved = await connection.execute(self._hold_back, {"held": encode_rows(rows)})
            next_times = {row.id: row.next_fetch_at for row in moved}
        return {key: next_times[key[0]] for key in held if key[0] in next_times}


async def wake(connection: AsyncConnection, database: Database, pairs: Iterable[tuple[int, str]]) -> None:
    """Note that these hosts have URLs of these kinds queued.

    The rows are locked before they are looked at. A lease that found a host empty and is about to clear its flag
    holds that lock: without waiting for it, its clearing could hide a URL that was queued meanwhile.
    """
    by_kind: dict[str, list[int]] = {}
    for host_id, kind in pairs:
        by_kind.setdefault(kind, []).append(host_id)
    for kind, ids in sorted(by_kind.items()):
        chosen = hosts.c.id.in_(database.members("ids", int))
        parameters = {"ids": json.dumps(sorted(ids))}
        lock = select(hosts.c.id).where(chosen).order_by(hosts.c.id).with_for_update(key_share=True)
        await connection.execute(lock, parameters)
        waiting = hosts.c.waiting_render if kind == Kind.RENDER else hosts.c.waiting_static
        # Until its first page is handed out, the host's turn is that of whoever queued it.
        owner = (
            select(crawls.c.account_id)
            .join_from(urls, crawls, urls.c.crawl_id == crawls.c.id)
            .where(urls.c.host_id == hosts.c.id, urls.c.kind == kind, urls.c.status == UrlStatus.QUEUED)
            .order_by(urls.c.rank)
            .limit(1)
            .correlate(hosts)
            .scalar_subquery()
        )
        values = {waiting.name: true(), hosts.c.account_id.name: func.coalesce(owner, hosts.c.account_id)}
        await connection.execute(update(hosts).where(chosen, waiting != true()).values(values), parameters)


async def hand_back_turns(connection: AsyncConnection, leases: Iterable[Lease]) -> None:
    """Nothing was sent on these leases: their hosts' turns are free again, unless somebody has taken the next."""
    for lease in sorted(leases, key=lambda lease: lease.host_id):
        await connection.execute(
            update(hosts)
            .where(hosts.c.id == lease.host_id, hosts.c.next_fetch_at == lease.next_fetch_at)
            .values(next_fetch_at=now())
        )
