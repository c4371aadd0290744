"""The parent's side of the pipe: a few child processes that read hostile input and can be killed.

The children are plain programs spoken to over pipes (`crawler.extract.serving`), not a `multiprocessing` pool: that
cannot be used in a Celery worker, which is a daemonic process, it would import the worker's main module again in every
child, and its start by fork is unsafe next to threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crawler
from crawler.extract import serving
from crawler.model import ErrorCode, Failure
from crawler.settings import Settings

#: A child that read a document of this size is not used again: its memory would stay large.
LARGE_BYTES = 2 << 20
#: Time for a child to leave by itself when its stdin is closed.
STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child said."""

    header: Mapping[str, Any]
    text: str


class Children:
    """Up to `convert_processes` processes of one program, started on first use. Belongs to one event loop; close it."""

    def __init__(self, program: str, settings: Settings) -> None:
        """`program` is a module's name."""
        self._program = program
        self._settings = settings
        self._free = asyncio.Semaphore(settings.convert_processes)
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._is_closed = False

    @property
    def pids(self) -> frozenset[int]:
        """The processes that there are."""
        return frozenset(process.pid for process in self._all)

    async def ask(self, header: Mapping[str, Any], body: bytes) -> Answer | Failure:
        """One question to one child. A child that did not answer as it should is killed."""
        async with self._free:
            if closed := self._closed_failure():
                return closed
            process = self._idle.pop() if self._idle else await self._start()
            is_usable = False
            try:
                if closed := self._closed_failure():
                    return closed  # while the child started: `close` has not seen it
                async with asyncio.timeout(self._settings.convert_timeout_seconds):
                    answer = await process.ask(header, body)
                is_usable = isinstance(answer, Answer) and process.is_fresh(self._settings, body)
            except TimeoutError:
                return Failure(ErrorCode.TIMEOUT, "the converter took too long")
            except (OSError, EOFError, ValueError) as error:
                return Failure(ErrorCode.TOO_LARGE, f"the converter died: {error!r}")
            else:
                return answer
            finally:
                # Cancellation comes here too: the late answer must not be taken for that of the next question.
                if is_usable and not self._is_closed:
                    self._idle.append(process)
                else:
                    self._all.discard(process)
                    await asyncio.shield(process.kill())

    async def close(self) -> None:
        """End all children; questions in flight end as failures."""
        self._is_closed = True
        await asyncio.gather(*(process.stop() for process in self._all))
        self._all.clear()
        self._idle.clear()

    def _closed_failure(self) -> Failure | None:
        if not self._is_closed:
            return None
        return Failure(ErrorCode.WORKER_LOST, "the converter is closed", retryable=True)

    async def _start(self) -> _Child:
        process = await _Child.start(self._program, self._settings)
        self._all.add(process)
        return process


class _Child:
    """One process, seen from its parent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._pages = 0

    @classmethod
    async def start(cls, program: str, settings: Settings) -> _Child:
        options = {
            "memory_bytes": settings.convert_memory_bytes,
            "timeout_seconds": settings.convert_timeout_seconds,
            "converter": settings.markdown,
            "max_links": settings.max_links_per_page,
            "max_url_chars": settings.max_url_chars,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            program,
            json.dumps(options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Not our environment: that may hold tokens and passwords.
            env={"PYTHONPATH": os.fspath(Path(crawler.__file__).parents[1])},
            # Ctrl-C in a terminal is for us; the child ends when we close its stdin.
            start_new_session=True,
        )
        return cls(process)

    async def ask(self, header: Mapping[str, Any], body: bytes) -> Answer | Failure:
        """Put one question. Raises OSError or EOFError when the child dies, ValueError when it talks nonsense."""
        self._pages += 1
        self._stdin.write(serving.message(header, body))
        await self._stdin.drain()
        head, size = serving.LENGTHS.unpack(await self._stdout.readexactly(serving.LENGTHS.size))
        answer = json.loads(await self._stdout.readexactly(head))
        text = (await self._stdout.readexactly(size)).decode()
        if "failure" in answer:
            return Failure(ErrorCode(answer["failure"]), str(answer["detail"]))
        return Answer(answer, text)

    def is_fresh(self, settings: Settings, body: bytes) -> bool:
        """Whether the child may take another page: it grows a little with each and much with a large one."""
        return self._pages < settings.convert_pages_per_process and len(body) < LARGE_BYTES

    async def stop(self) -> None:
        """Let the child leave by itself, or kill it."""
        self._stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        self._stdin.close()
        await self._process.wait()
