"""Reading HTML without trusting it: parsing and converting happen in child processes that can be killed.

The children are plain programs spoken to over pipes (`crawler.extract.child`), not a `multiprocessing` pool: that one
cannot be used inside a Celery worker, which is a daemonic process, it would import the worker's main module again in
every child, and its start by fork is unsafe next to threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crawler
from crawler.extract import child
from crawler.extract.document import Metadata, Page, parse
from crawler.model import ErrorCode, Failure, Link
from crawler.settings import Settings

#: HTML up to this size is parsed here when nothing else is asked: it costs less than the way to a child, and what the
#: parser's quadratic cases cost at this size (about 0.2 s) is a pause that an event loop survives.
INLINE_CHARS = 32 * 1024
#: A child that read a page of this size is not used again: its memory would stay large.
LARGE_CHARS = 2 << 20
#: Time for a child to leave by itself when its stdin is closed.
STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Extract:
    """What was made of a page. `markdown` is None when it was not asked for."""

    page: Page
    markdown: str | None


class Converter:
    """A few child processes, started on first use. Belongs to one event loop; close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.convert_processes)
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._closed = False

    async def extract(self, html: str, url: str, *, markdown: bool) -> Extract | Failure:
        """Read a page and, if asked, convert it too, in one parse. Never raises because of what the page holds."""
        if not markdown and len(html) <= INLINE_CHARS:
            return Extract(self._parse_here(html, url), None)
        answer = await self._ask(html, url, page=True, markdown=markdown)
        if isinstance(answer, Failure):
            return answer
        header, text = answer
        return Extract(_page(header["page"], html), text if markdown else None)

    async def convert(self, html: str, url: str) -> str | Failure:
        """Markdown of a page whose links are already known."""
        answer = await self._ask(html, url, page=False, markdown=True)
        return answer if isinstance(answer, Failure) else answer[1]

    async def close(self) -> None:
        """End all children; conversions in flight end as failures."""
        self._closed = True
        await asyncio.gather(*(process.stop() for process in self._all))
        self._all.clear()
        self._idle.clear()

    def _parse_here(self, html: str, url: str) -> Page:
        return parse(
            html,
            content_type=None,
            url=url,
            max_links=self._settings.max_links_per_page,
            max_url_chars=self._settings.max_url_chars,
        )

    async def _ask(
        self, html: str, url: str, *, page: bool, markdown: bool
    ) -> tuple[dict[str, Any], str] | Failure:
        """Ask for everything, then for the plain text at least; the second time in a fresh child and less time."""
        seconds = self._settings.convert_timeout_seconds
        request = {"url": url, "page": page, "markdown": "full" if markdown else ""}
        answer = await self._ask_child(request, html, seconds)
        if isinstance(answer, Failure) and markdown:
            answer = await self._ask_child(request | {"markdown": "plain"}, html, seconds / 4)
        if not isinstance(answer, Failure) and len(answer[1]) > self._settings.max_record_bytes:
            return Failure(ErrorCode.TOO_LARGE, f"{len(answer[1])} characters of Markdown")
        return answer

    async def _ask_child(
        self, request: dict[str, Any], html: str, seconds: float
    ) -> tuple[dict[str, Any], str] | Failure:
        async with self._free:
            if self._closed:
                return Failure(ErrorCode.WORKER_LOST, "converter closed", retryable=True)
            process = self._idle.pop() if self._idle else await self._start()
            usable = False
            try:
                async with asyncio.timeout(seconds):
                    answer = await process.ask(request, html)
                usable = "failure" not in answer[0] and process.is_fresh(self._settings, html)
            except TimeoutError:
                return Failure(ErrorCode.TIMEOUT, f"not converted within {seconds:g} s")
            except (OSError, EOFError, ValueError) as error:
                return Failure(ErrorCode.TOO_LARGE, f"the converter process died: {error!r}")
            finally:
                # Reached by cancellation too: a child with a question unanswered must not meet the next one.
                if usable and not self._closed:
                    self._idle.append(process)
                else:
                    self._all.discard(process)
                    await asyncio.shield(process.kill())
            if "failure" in answer[0]:
                return Failure(ErrorCode.TOO_LARGE, str(answer[0]["failure"]))
            return answer

    async def _start(self) -> _Child:
        process = await _Child.start(self._settings)
        self._all.add(process)
        return process


class _Child:
    """One process of `crawler.extract.child`, seen from its parent."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._pages = 0

    @classmethod
    async def start(cls, settings: Settings) -> _Child:
        options = {
            "memory_bytes": settings.convert_memory_bytes,
            "timeout_seconds": settings.convert_timeout_seconds,
            "converter": settings.markdown,
            "max_links": settings.max_links_per_page,
            "max_url_chars": settings.max_url_chars,
        }
        root = Path(crawler.__file__).parents[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            child.__name__,
            json.dumps(options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            # Not ours: it may hold tokens and passwords.
            env={"PYTHONPATH": os.fspath(root)},
            start_new_session=True,
        )
        return cls(process)

    async def ask(self, request: dict[str, Any], html: str) -> tuple[dict[str, Any], str]:
        """Put one question. Raises OSError or EOFError when the child dies, ValueError when it talks nonsense."""
        self._pages += 1
        self._stdin.write(child.message(request, html))
        await self._stdin.drain()
        head, body = child.LENGTHS.unpack(await self._stdout.readexactly(child.LENGTHS.size))
        answer = json.loads(await self._stdout.readexactly(head))
        return answer, (await self._stdout.readexactly(body)).decode()

    def is_fresh(self, settings: Settings, html: str) -> bool:
        """Whether the child may take another page: it grows a little with each and much with a large one."""
        return self._pages < settings.convert_pages_per_process and len(html) < LARGE_CHARS

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


def _page(fields: dict[str, Any], html: str) -> Page:
    return Page(
        html=html,
        title=fields["title"],
        links=tuple(Link(url) for url in fields["links"]),
        links_dropped=fields["links_dropped"],
        base_url=fields["base_url"],
        metadata=Metadata(**fields["metadata"]),
    )
