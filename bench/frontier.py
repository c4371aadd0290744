"""What a lease and a finish cost, in a frontier of 10 thousand URLs and in one of a million."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from itertools import count
from statistics import median

from sqlalchemy import text

from bench.backend import Backend
from bench.fill import DATABASES, Filled, host_name, open_filled
from bench.pages import static_page
from bench.report import Check, at_most, print_table
from crawler import urls
from crawler.model import Found, Kind, Lease, Outcome, UrlStatus
from crawler.politeness import Circuit
from crawler.store.admission import Admission
from crawler.store.circuits import Circuits
from crawler.store.database import Database
from crawler.store.finish import Finisher
from crawler.store.frontier import Frontier, Politeness
from crawler.store.hosts import Hosts

_SIZES = (10_000, 1_000_000)
_HOSTS = 1_000
#: Name, whether only the first host (with half of the URLs) has work, delay in milliseconds.
_SHAPES = (("one host, no delay", True, 0), (f"{_HOSTS:,} hosts, 0.5 s", False, 500))
#: Pages per lease and per finish.
BATCH = 16
#: `CRAWL_STATIC_SLOTS`.
IN_FLIGHT = 32
#: The sizes take turns after so many pages.
TURN = 10 * BATCH
_KNOWN_LINKS, _NEW_LINKS = 28, 2


def sizes(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """`pages` pages of each size, database and shape; each with 30 links, of which two are new."""
    del rounds
    rows, checks = [], []
    for database in DATABASES:
        with ExitStack() as stack:
            filled = [
                stack.enter_context(open_filled(backend, database, size, hosts=_HOSTS, is_done=False))
                for size in _SIZES
            ]
            for shape, only_first, delay_ms in _SHAPES:
                costs = asyncio.run(_measure(filled, pages, only_first=only_first, delay_ms=delay_ms))
                ratio = costs[-1] / costs[0]
                rows.append([database, shape, *(f"{cost:.2f}" for cost in costs), f"{ratio:.2f}"])
                checks.append(at_most(f"lease + finish, 1 M / 10 k queued, {database}, {shape}", ratio, 1.3))
    print_table(["database", "frontier", *(f"{size:,} queued, ms/page" for size in _SIZES), "ratio"], rows)
    return checks


async def _measure(filled: Sequence[Filled], pages: int, *, only_first: bool, delay_ms: int) -> list[float]:
    """Milliseconds per page in each database: medians over the turns."""
    async with AsyncExitStack() as stack:
        probes = [Probe(await stack.enter_async_context(Database(one.url)), one, delay_ms) for one in filled]
        for probe in probes:
            await probe.wake(only_first=only_first)
            await probe.take_turn()  # statements are compiled, connections opened
        turns = max(2, pages // TURN)
        costs = [[await probe.take_turn() for probe in probes] for _ in range(turns)]
    return [median(of_one) for of_one in zip(*costs, strict=True)]


class Probe:
    """Leases and finishes pages of one filled database, as a pump and its writer do."""

    def __init__(self, database: Database, filled: Filled, delay_ms: int) -> None:
        self._database = database
        hosts = Hosts(database, default_delay_ms=delay_ms)
        self._filled = filled
        self._frontier = Frontier(database, Politeness(delay_ms, IN_FLIGHT), lease_ms=60_000)
        self._finisher = Finisher(
            database,
            hosts,
            Admission(database, max_sitemaps=50, max_held_pages=1_000),
            Circuits(database, Circuit(opens_after=5, down_after=10, down=timedelta(minutes=10))),
            retention_ms=1_000_000,
        )
        self._rng = random.Random(1)
        self._new = count(filled.count + 1)

    async def wake(self, *, only_first: bool) -> None:
        """Say which hosts have work."""
        waiting = "name = :first" if only_first else "true"
        statement = text(f"UPDATE hosts SET waiting_static = ({waiting})")
        parameters = {"first": host_name(0)} if only_first else {}
        async with self._database.write() as connection:
            await connection.execute(statement, parameters)

    async def beat(self, clock: Callable[[], float]) -> float:
        """Seconds by `clock` that one heartbeat takes, of as many pages as one worker process has in flight."""
        leases = list((await self._frontier.lease(Kind.STATIC, IN_FLIGHT)).leases)
        started_at = clock()
        held = await self._frontier.extend(leases)
        seconds = clock() - started_at
        assert len(held) == IN_FLIGHT
        await self._finisher.finish([Outcome(lease, UrlStatus.QUEUED, "bench") for lease in leases])
        return seconds

    async def take_turn(self) -> float:
        """Milliseconds per page, over one turn of pages."""
        seconds, done = 0.0, 0
        while done < TURN:
            started_at = time.perf_counter()
            leases = (await self._frontier.lease(Kind.STATIC, BATCH)).leases
            leased_at = time.perf_counter()
            outcomes = [self._outcome(lease) for lease in leases]
            finishing_at = time.perf_counter()
            finished = await self._finisher.finish(outcomes)
            seconds += time.perf_counter() - finishing_at + leased_at - started_at
            assert len(finished.accepted) == len(leases) > 0
            done += len(leases)
        return seconds * 1000 / done

    def _outcome(self, lease: Lease) -> Outcome:
        known = [self._rng.randint(1, self._filled.count) for _ in range(_KNOWN_LINKS)]
        links = [self._filled.page_url(number) for number in known]
        links += [f"http://{host_name(0)}/new/{next(self._new)}" for _ in range(_NEW_LINKS)]
        return Outcome(
            lease,
            UrlStatus.COMPLETED,
            http_status=200,
            final_url=lease.url,
            title="A page",
            html=static_page(lease.url_id, self._filled.count),
            found=tuple(Found(url, urls.key(url), urls.host_of(url)) for url in links),
        )
