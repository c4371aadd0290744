"""How long a client waits for a page of records, over HTTP, at the start and at the end of a large crawl."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from urllib.request import urlopen

import aiohttp

from bench.backend import Backend
from bench.fill import DATABASES, Filled, open_filled
from bench.measure import ROOT
from bench.report import Check, at_most, print_table
from bench.service import ACCOUNT
from tests.servers import free_port

_START_SECONDS = 30.0
_TOKEN = "bench-token-of-nobody"
_PAGE = 50
_PAGES_READ = 100
_SINGLES_READ = 1_000


def latencies(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """A crawl of `pages` records of 10 kB on each database."""
    del rounds
    rows, checks = [], []
    for database in DATABASES:
        with open_filled(backend, database, pages, hosts=1, is_done=True) as filled, _api(filled) as base:
            url = f"{base}/client/v4/accounts/{ACCOUNT}/browser-rendering/crawl/{filled.crawl_id}"
            first, last, singles = asyncio.run(_measure(url, filled.count))
        p99 = quantiles(singles, n=100)[-1]
        times = (median(first), median(last), median(singles), p99)
        rows.append([database, f"{pages:,}", *(f"{milliseconds:.2f}" for milliseconds in times)])
        ratio = max(median(first), median(last)) / min(median(first), median(last))
        checks.append(at_most(f"first against last page of records, {database}", ratio, 1.5))
        checks.append(at_most(f"?limit=1, p99, {database}", p99, 10.0, " ms"))
    header = ["database", "records", "first 50, ms", "last 50, ms", "limit=1 median, ms", "limit=1 p99, ms"]
    print_table(header, rows)
    return checks


async def _measure(url: str, count: int) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds of each request: first pages, last pages, single records at random places."""
    rng = random.Random(1)
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def get(cursor: int, limit: int) -> float:
            started_at = time.perf_counter()
            async with session.get(url, params={"cursor": cursor, "limit": limit}) as response:
                answer = await response.read()
                milliseconds = (time.perf_counter() - started_at) * 1000
                assert response.status == 200, answer
                return milliseconds

        for _ in range(20):
            await get(0, 1)
        pairs = [(await get(0, _PAGE), await get(count - _PAGE, _PAGE)) for _ in range(_PAGES_READ)]
        singles = [await get(rng.randrange(count), 1) for _ in range(_SINGLES_READ)]
    return [first for first, _ in pairs], [last for _, last in pairs], singles


@contextmanager
def _api(filled: Filled) -> Iterator[str]:
    """`crawl serve` on this database; its address."""
    base = f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="crawl-bench-") as folder:
        environment = {
            "CRAWL_DATA_DIR": folder,
            "CRAWL_DATABASE_URL": filled.url,
            "CRAWL_API_TOKEN": _TOKEN,
            "CRAWL_RATE_LIMIT_PER_SECOND": "0",
            "CRAWL_ALLOW_UNSANDBOXED": "1",
        }
        log = Path(folder) / "api.log"
        command = [sys.executable, "-m", "cli", "serve", "--port", base.rpartition(":")[2]]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=ROOT, env={**os.environ, **environment}
            )
        try:
            _wait_until_healthy(base, process, log)
            yield base
        finally:
            process.terminate()
            process.wait()


def _wait_until_healthy(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urlopen(f"{base}/health", timeout=1):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                message = f"the API did not start:\n{log.read_text()[-2000:]}"
                raise RuntimeError(message) from None
            time.sleep(0.05)
