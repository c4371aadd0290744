"""How much work there is, by statements that are cheap enough to be asked every few seconds: each reads a partial index
of what is running, leased or waiting, and none reads the queued URLs themselves."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, true

from crawler.model import CrawlStatus, Kind, Role, UrlStatus
from crawler.store.database import Database, now
from crawler.store.schema import crawls, hosts, urls


@dataclass(frozen=True, slots=True)
class Queue:
    """The work of one kind. Durations are seconds."""

    kind: Kind
    running_crawls: int
    queued_pages: int
    leased_pages: int
    #: Hosts that may have something queued, and how long the one that waits longest has been due.
    waiting_hosts: int
    late_seconds: float
    #: How long the holder of a lease has been silent, of all the longest.
    silent_seconds: float


class Queues:
    """The work in one database."""

    def __init__(self, database: Database, *, lease_ms: int) -> None:
        self._database = database
        self._lease_ms = lease_ms

    async def read(self) -> tuple[Queue, ...]:
        """One for each kind. Raises Unavailable."""
        running = (
            select(crawls.c.kind, func.count().label("crawls"), func.sum(crawls.c.queued).label("pages"))
            .where(crawls.c.status == CrawlStatus.RUNNING)
            .group_by(crawls.c.kind)
        )
        leased = (
            select(
                urls.c.kind,
                func.count().label("pages"),
                (now() + self._lease_ms - func.min(urls.c.leased_until_at)).label("silent_ms"),
            )
            .where(urls.c.status == UrlStatus.LEASED, urls.c.role == Role.PAGE)
            .group_by(urls.c.kind)
        )
        queues = []
        async with self._database.read() as connection:
            open_by_kind = {row.kind: row for row in await connection.execute(running)}
            leased_by_kind = {row.kind: row for row in await connection.execute(leased)}
            for kind in Kind:
                waits = hosts.c.waiting_render if kind is Kind.RENDER else hosts.c.waiting_static
                late = (now() - func.min(hosts.c.next_fetch_at)).label("late_ms")
                waiting = select(func.count().label("hosts"), late).where(waits == true())
                host = (await connection.execute(waiting)).one()
                crawl, lease = open_by_kind.get(kind), leased_by_kind.get(kind)
                held = lease.pages if lease is not None else 0
                queues.append(
                    Queue(
                        kind=kind,
                        running_crawls=crawl.crawls if crawl is not None else 0,
                        # The statements are one after another: a page may have been leased in between.
                        queued_pages=max(0, crawl.pages - held) if crawl is not None else 0,
                        leased_pages=held,
                        waiting_hosts=host.hosts,
                        late_seconds=max(0, host.late_ms or 0) / 1000,
                        silent_seconds=max(0, lease.silent_ms) / 1000 if lease is not None else 0.0,
                    )
                )
        return tuple(queues)
