"""Workers and browsers as processes: starting one, and waiting until all of it is gone."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
from aiohttp import web

from crawler.fetch.processes import runs

REPOSITORY = Path(__file__).parents[2]


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for a condition to hold."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def dead(processes: Iterable[psutil.Process]) -> bool:
    """Whether all of them have ended."""
    return not any(runs(process) for process in processes)


def bytes_in(folder: Path) -> int:
    """The size of all files, of which some may go meanwhile."""
    size = 0
    for where, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                size += (Path(where) / file).lstat().st_size
    return size


class WorkerDied(Exception):
    """The worker ended before its browser ran."""


@asynccontextmanager
async def worker(*prefix: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[psutil.Process]]]:
    """A process that renders, and the processes of its browser."""
    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-m",
        "tests.render.worker",
        cwd=REPOSITORY,
        env={**os.environ, "HOME": tempfile.gettempdir(), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        if not line:
            raise WorkerDied((await process.stderr.read()).decode().strip().splitlines()[-1])
        yield process, [psutil.Process(int(pid)) for pid in line.split()]
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Sockets:
    """A WebSocket of a page, which lives as long as the page."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.opened.set()
        async for _ in socket:
            pass
        self.closed.set()
        return socket
