"""The database's clock: compared with our own, and put up with when it jumps."""

from __future__ import annotations

from sqlalchemy import func, or_, select, true, update

from crawler.model import UrlStatus
from crawler.store.database import Database, now
from crawler.store.schema import circuits, hosts, urls


async def read_clock(database: Database) -> int:
    """What time the database has, in milliseconds since the epoch. Raises Unavailable."""
    async with database.read() as connection:
        return int((await connection.execute(select(now()))).scalar_one())


class ClockJumps:
    """Waits that no rule can have asked for: the clock was set back after they were written.

    A clock that jumps forward needs no care: leases run out early, and each page in flight is fetched once more.
    """

    def __init__(self, database: Database, *, lease_ms: int, longest_wait_ms: int) -> None:
        self._database = database
        self._lease_ms = lease_ms
        too_far = now() + longest_wait_ms
        self._far_hosts = or_(
            (hosts.c.waiting_static == true()) & (hosts.c.next_fetch_at > too_far),
            (hosts.c.waiting_render == true()) & (hosts.c.next_fetch_at > too_far),
        )
        self._far_circuits = circuits.c.next_try_at > too_far
        self._far_leases = (urls.c.status == UrlStatus.LEASED) & (
            urls.c.leased_until_at > now() + 2 * lease_ms
        )
        self._far_retries = (urls.c.status == UrlStatus.QUEUED) & (urls.c.not_before_at > too_far)

    async def mend(self) -> bool:
        """Let what waits for too long go on now, or a lease from now. Returns whether there was anything."""
        far_hosts = select(hosts.c.id).where(self._far_hosts).exists()
        far_leases = select(urls.c.id).where(self._far_leases).exists()
        far_circuits = select(circuits.c.host_id).where(self._far_circuits).exists()
        async with self._database.read() as connection:
            if not (await connection.execute(select(or_(far_hosts, far_leases, far_circuits)))).scalar():
                return False
        async with self._database.write() as connection:
            await connection.execute(
                update(urls).where(self._far_leases).values(leased_until_at=now() + self._lease_ms)
            )
            await connection.execute(update(circuits).where(self._far_circuits).values(next_try_at=now()))
            # These have no index: they are only looked for when the clock is known to have jumped.
            await connection.execute(update(urls).where(self._far_retries).values(not_before_at=now()))
            await connection.execute(
                update(hosts)
                .where(self._far_hosts)
                .values(next_fetch_at=now() + func.coalesce(hosts.c.crawl_delay_ms, 1_000))
            )
        return True
