"""What it costs without any fault that a lease has a token which is compared, and a heartbeat: a share of the CPU time
of a page.

CPU time and not the time that passes, so that others on the machine disturb little. The same statement runs with and
without the comparison on one database, in pairs whose order is drawn, so that what is left of the noise hits both
alike; intervals are bootstrapped.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any

import psutil
from sqlalchemy import Engine, event, text

from bench.backend import Backend
from bench.fill import DATABASES, Filled, open_filled
from bench.frontier import BATCH, Probe
from bench.measure import ROOT
from bench.origin import Origin, serve
from bench.pages import STATIC_START, write_static
from bench.report import Check, at_most, print_table
from bench.throughput import PROCESSES, crawl_static
from crawler.store.database import Database

_SIZE, _HOSTS = 30_000, 1
_TARGET_PERCENT = 3
#: As the finishing statement has it.
_FENCE = " AND urls.lease_token = settled.token"
_WARM_UP_PAIRS, _LEAST_PAIRS = 10, 20
_BEATS = 200
#: Pages of the crawls whose difference is the cost of a page: of the larger one, and of one that mostly starts up.
_CRAWLED, _FEW = 2_000, 100
_RESAMPLES = 2_000


def costs(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """`pages` pages, finished with the fence and without it; some heartbeats; the whole of a page: on each database."""
    del rounds
    rows, checks = [], []
    with serve(partial(write_static, count=_CRAWLED)) as origin:
        crawlers = {
            "SQLite": partial(_crawl_embedded, origin),
            "Postgres": partial(_crawl_deployed, backend, origin),
        }
        for database in DATABASES:
            page = _cost_of_page(crawlers[database])
            with open_filled(backend, database, _SIZE, hosts=_HOSTS, is_done=False) as filled:
                fence, beat = asyncio.run(_measure(filled, pages))
            of_page = [100 / page.cpu_ms * ms for ms in fence.range()]
            of_beats = [100 / page.cpu_ms * page.beats * ms for ms in beat.range()]
            rows.append(
                [
                    database,
                    f"{page.cpu_ms:.2f}",
                    f"{fence.mean * 1000:+.2f} ({fence.low * 1000:+.2f} to {fence.high * 1000:+.2f})",
                    f"{of_page[1]:+.2f} ({of_page[0]:+.2f} to {of_page[2]:+.2f})",
                    f"{beat.mean:.2f} ({beat.low:.2f} to {beat.high:.2f})",
                    f"{of_beats[1]:.2f} ({of_beats[0]:.2f} to {of_beats[2]:.2f})",
                ]
            )
            most = of_page[2] + of_beats[2]
            checks.append(
                at_most(f"fencing and heartbeats, at most, {database}", most, _TARGET_PERCENT, " %")
            )
    header = ["database", "CPU ms/page", "comparison, us/page", "% of a page", "heartbeat, ms", "% of a page"]
    print_table(header, rows)
    return checks


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page of a real crawl costs: CPU milliseconds of all processes, and heartbeats."""

    cpu_ms: float
    beats: float


@dataclass(frozen=True, slots=True)
class _Interval:
    """A mean and the ends of its 95 % interval."""

    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, measured: Sequence[float]) -> _Interval:
        """Of the population of these, bootstrapped."""
        rng = random.Random(1)
        means = [fmean(rng.choices(measured, k=len(measured))) for _ in range(_RESAMPLES)]
        cuts = quantiles(means, n=40)
        return cls(cuts[0], fmean(measured), cuts[-1])

    def range(self) -> tuple[float, float, float]:
        """Low end, mean, high end."""
        return self.low, self.mean, self.high


def _cost_of_page(crawl: Callable[[int], tuple[float, float]]) -> _Page:
    """`crawl` of some pages gives CPU seconds and beats; start and stop are in both crawls and fall out."""
    (cpu, beats), (few_cpu, few_beats) = crawl(_CRAWLED), crawl(_FEW)
    pages = _CRAWLED - _FEW
    return _Page((cpu - few_cpu) * 1000 / pages, max(0.0, beats - few_beats) / pages)


def _crawl_deployed(backend: Backend, origin: Origin, limit: int) -> tuple[float, float]:
    run = crawl_static(backend, origin, ["html"], limit=limit)()
    return run.cpu_seconds, run.seconds * PROCESSES


def _crawl_embedded(origin: Origin, limit: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="crawl-bench-") as folder:
        command = [
            sys.executable,
            "-m",
            "cli",
            "run",
            origin.url(STATIC_START),
            "--no-render",
            "--source",
            "links",
        ]
        command += [
            "--limit",
            str(limit),
            "--format",
            "html",
            "--quiet",
            "--output",
            str(Path(folder) / "out"),
        ]
        environment = {
            **os.environ,
            "CRAWL_DATA_DIR": folder,
            "CRAWL_DEFAULT_DELAY": "0",
            "CRAWL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8",
        }
        before, started_at = os.times(), time.monotonic()
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        after, seconds = os.times(), time.monotonic() - started_at
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, seconds


async def _measure(filled: Filled, pages: int) -> tuple[_Interval, _Interval]:
    """CPU milliseconds: of the comparison, for each page; of a heartbeat of all pages in flight."""
    async with Database(filled.url, pool_size=1) as database:
        clock = await _clock_of(database)
        probe = Probe(database, filled, delay_ms=0)
        await probe.wake(only_first=True)
        with _with_and_without_fence(clock) as differences:
            while len(differences) < _WARM_UP_PAIRS + max(_LEAST_PAIRS, pages // BATCH // 2):
                await probe.take_turn()
        beats = [await probe.beat(clock) for _ in range(_BEATS)]
    fence = [seconds * 1000 / BATCH for seconds in differences[_WARM_UP_PAIRS:]]
    return _Interval.of(fence), _Interval.of([seconds * 1000 for seconds in beats])


async def _clock_of(database: Database) -> Callable[[], float]:
    """CPU seconds of this process and of the only connection's server process."""
    if database.is_sqlite:
        return time.process_time
    async with database.read() as connection:
        pid = int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
    server = psutil.Process(pid)
    running, used = psutil.STATUS_RUNNING, Path(f"/proc/{pid}/schedstat")

    def seconds() -> float:
        # What it has used is brought up to date when it goes to sleep, which is just after its answer.
        while server.status() == running:
            pass
        # In nanoseconds; what psutil tells is counted in hundredths of a second.
        return int(used.read_text().split()[0]) / 1e9 + time.process_time()

    return seconds


@contextmanager
def _with_and_without_fence(clock: Callable[[], float]) -> Iterator[list[float]]:
    """Take the comparison out of every second finishing statement, drawn within each pair. Collects by how many CPU
    seconds the one with it was dearer."""
    rng, differences = random.Random(1), list[float]()
    pair: dict[bool, float] = {}
    running: tuple[bool, float] | None = None

    def before(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        nonlocal running
        if _FENCE in statement:
            has_fence = rng.random() < 0.5 if not pair else True not in pair
            running = has_fence, clock()
            if not has_fence:
                statement = statement.replace(_FENCE, "")
        return statement, parameters

    def after(*_: Any) -> None:
        nonlocal running
        if running is None:
            return
        has_fence, started_at = running
        pair[has_fence] = clock() - started_at
        running = None
        if len(pair) == 2:
            differences.append(pair[True] - pair[False])
            pair.clear()

    event.listen(Engine, "before_cursor_execute", before, retval=True)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield differences
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)
