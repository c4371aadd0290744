"""Ourselves, as we are deployed: `crawl worker` processes on Postgres and Redis; the crawl enters by the use case."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.backend import Backend
from bench.measure import ROOT, Meter, Run
from crawler.model import CrawlStatus, CrawlView, Kind
from crawler.options import parse_options
from crawler.runtime import Runtime
from crawler.settings import Settings
from workers.doorbell import open_doorbell

ACCOUNT = "local"
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
#: Each look costs as much as a page costs us in the database, and the end is told by the database anyway.
_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Crawled:
    """What the crawls came to, by the database's clock, and what they cost."""

    views: tuple[CrawlView, ...]
    run: Run
    #: Bytes of the workers' process tree while the crawls ran, about every two seconds.
    memory: tuple[int, ...]


def crawl(
    backend: Backend,
    bodies: Sequence[Mapping[str, object]],
    *,
    kind: Kind,
    processes: int,
    settings: Mapping[str, object],
    warm_up: Mapping[str, object] | None = None,
) -> Crawled:
    """Start fresh workers, give them all `bodies` (of POST `/crawl`) at once, wait until all crawls have ended.

    `settings` are names and values of `Settings`. `warm_up` is crawled before, unmeasured. Raises RuntimeError when
    a crawl does not complete.
    """
    with backend.database() as database, tempfile.TemporaryDirectory(prefix="crawl-bench-") as folder:
        given = {
            "data_dir": folder,
            "database_url": database,
            "broker_url": backend.redis.url,
            "egress_allow_cidrs": "127.0.0.0/8",
            **settings,
        }
        with (
            _worker(given, kind, processes, Path(folder)) as worker,
            Meter(worker.pid, backend.postgres.pid, backend.redis.pid) as meter,
        ):
            if warm_up is not None:
                asyncio.run(_crawl(Settings.load(**given), [warm_up]))
            views = asyncio.run(_crawl(Settings.load(**given), bodies))
    started_at = min(view.created_at for view in views) / 1000
    ended_at = max(view.ended_at or 0 for view in views) / 1000
    pages = sum(view.completed for view in views)
    run = Run(pages, ended_at - started_at, meter.cpu_seconds, meter.peak_bytes)
    return Crawled(views, run, tuple(held for at, held in meter.memory if started_at <= at <= ended_at))


async def _crawl(settings: Settings, bodies: Sequence[Mapping[str, object]]) -> tuple[CrawlView, ...]:
    doorbell = open_doorbell(settings)
    assert doorbell is not None
    async with Runtime(settings, doorbell=doorbell) as runtime:
        now = datetime.now(UTC)
        # What was crawled to warm up shall not be taken from there.
        options = [parse_options({"maxAge": 0, **body}, now=now) for body in bodies]
        ids = [await runtime.service.create(ACCOUNT, each) for each in options]
        views = [await _wait_for_end(runtime, crawl_id) for crawl_id in ids]
    await doorbell.close()
    return tuple(views)


async def _wait_for_end(runtime: Runtime, crawl_id: str) -> CrawlView:
    while True:
        view = (await runtime.service.read(ACCOUNT, crawl_id, limit=0)).crawl
        if view.status is CrawlStatus.COMPLETED and not view.errored:
            return view
        if view.status is not CrawlStatus.RUNNING:
            message = f"the crawl of {view.seed_url} ended as {view.status}, {view.errored} pages errored"
            raise RuntimeError(message)
        await asyncio.sleep(_POLL_SECONDS)


@contextmanager
def _worker(
    settings: Mapping[str, object], kind: Kind, processes: int, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    log = folder / "worker.log"
    command = [sys.executable, "-m", "cli", "worker", "--kind", kind, "--processes", str(processes)]
    environment = {f"CRAWL_{name.upper()}": str(value) for name, value in settings.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=ROOT, env={**os.environ, **environment}
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while b" ready." not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"the worker did not start:\n{log.read_text()[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.05)
        yield process
    except BaseException:
        sys.stderr.write(log.read_text()[-2000:])
        raise
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
