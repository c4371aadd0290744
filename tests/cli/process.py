"""`crawl` as its users meet it: a process with arguments, an environment, two streams and an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_MAX_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str


async def start(*arguments: str, env: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start `crawl` with these arguments."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        cwd=ROOT,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # A group of its own, as a shell gives it, so that `interrupt` does not end the tests.
        start_new_session=True,
    )


def interrupt(process: asyncio.subprocess.Process) -> None:
    """Press Ctrl-C: a terminal sends the signal to the process and to all its children."""
    os.killpg(process.pid, signal.SIGINT)


async def end_of(process: asyncio.subprocess.Process) -> Ended:
    """Wait for the end of a process."""
    async with asyncio.timeout(_MAX_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def crawl(*arguments: str, env: Mapping[str, str]) -> Ended:
    """Run `crawl` with these arguments."""
    async with running(*arguments, env=env) as process:
        return await end_of(process)


@asynccontextmanager
async def running(*arguments: str, env: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running `crawl`, killed at the end of the block if it still is."""
    process = await start(*arguments, env=env)
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def read_until(stream: asyncio.StreamReader | None, text: str) -> str:
    """Read lines up to the one that contains `text`, and return that one."""
    assert stream is not None
    seen = []
    async with asyncio.timeout(_MAX_SECONDS):
        while line := (await stream.readline()).decode():
            if text in line:
                return line
            seen.append(line)
    message = f"{text!r} was not printed, but: {''.join(seen)}"
    raise AssertionError(message)
