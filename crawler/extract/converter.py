"""Reading HTML without trusting it: parsing and converting happen in child processes that can be killed.

The children are plain programs spoken to over pipes (`crawler.extract.child`), not a `multiprocessing` pool: that
cannot be used in a Celery worker, which is a daemonic process, it would import the worker's main module again in every
child, and its start by fork is unsafe next to threads.
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

#: HTML up to this size is parsed in this process when nothing else is asked: it costs less than the way to a child, and
#: what the parser's quadratic cases cost at this size (about 0.2 s) is a pause that an event loop survives.
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
    #: Why there is only plain text and no link, where the page was too much for the parser or the converter.
    fault: Failure | None = None


class Converter:
    """A few child processes, started on first use. Belongs to one event loop; close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(settings.convert_processes)
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._is_closed = False

    async def extract(self, html: str, url: str, *, markdown: bool) -> Extract | Failure:
        """Read a page and, if asked, convert it, in one parse. Never raises because of what the page holds."""
        if not markdown and len(html) <= INLINE_CHARS:
            return Extract(self._parse_here(html, url), None)
        answer = await self._ask(html, url, page=True, markdown=markdown)
        if isinstance(answer, Failure):
            return answer
        return Extract(_page(answer.page, html, url), answer.markdown if markdown else None, answer.fault)

    async def convert(self, html: str, url: str) -> str | Failure:
        """Markdown of a page whose links are already known; plain text where it was too much for the converter."""
        answer = await self._ask(html, url, page=False, markdown=True)
        return answer if isinstance(answer, Failure) else answer.markdown

    async def close(self) -> None:
        """End all children; conversions in flight end as failures."""
        self._is_closed = True
        await asyncio.gather(*(process.stop() for process in self._all))
        self._all.clear()
        self._idle.clear()

    def _parse_here(self, html: str, url: str) -> Page:
        limits = self._settings
        return parse(
            html,
            content_type=None,
            url=url,
            max_links=limits.max_links_per_page,
            max_url_chars=limits.max_url_chars,
        )

    async def _ask(self, html: str, url: str, *, page: bool, markdown: bool) -> _Answer | Failure:
        """Ask for everything; if that fails, ask another child for what can be had without a parser."""
        request = {"url": url, "page": page, "markdown": markdown, "is_plain": False}
        answer = await self._ask_child(request, html)
        if isinstance(answer, Failure) and answer.code != ErrorCode.WORKER_LOST:
            fault = answer
            answer = await self._ask_child(request | {"is_plain": True}, html)
            if isinstance(answer, _Answer):
                answer = _Answer(answer.page, answer.markdown, fault)
        if isinstance(answer, _Answer) and len(answer.markdown) > self._settings.max_record_bytes:
            return Failure(ErrorCode.TOO_LARGE, f"{len(answer.markdown)} characters of Markdown")
        return answer

    async def _ask_child(self, request: dict[str, Any], html: str) -> _Answer | Failure:
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
                    answer = await process.ask(request, html)
                is_usable = not isinstance(answer, Failure) and process.is_fresh(self._settings, html)
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

    def _closed_failure(self) -> Failure | None:
        if not self._is_closed:
            return None
        return Failure(ErrorCode.WORKER_LOST, "the converter is closed", retryable=True)

    async def _start(self) -> _Child:
        process = await _Child.start(self._settings)
        self._all.add(process)
        return process


@dataclass(frozen=True, slots=True)
class _Answer:
    page: dict[str, Any]
    markdown: str
    fault: Failure | None


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
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            child.__name__,
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

    async def ask(self, request: dict[str, Any], html: str) -> _Answer | Failure:
        """Put one question. Raises OSError or EOFError when the child dies, ValueError when it talks nonsense."""
        self._pages += 1
        self._stdin.write(child.message(request, html))
        await self._stdin.drain()
        head, body = child.LENGTHS.unpack(await self._stdout.readexactly(child.LENGTHS.size))
        header = json.loads(await self._stdout.readexactly(head))
        markdown = (await self._stdout.readexactly(body)).decode()
        if "failure" in header:
            return Failure(ErrorCode.TOO_LARGE, header["failure"])
        fault = Failure(ErrorCode.DOM_TOO_LARGE, "nested too deep") if header["is_plain"] else None
        return _Answer(header["page"], markdown, fault)

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


def _page(fields: dict[str, Any], html: str, url: str) -> Page:
    """The page as the child describes it; only its title where it could not be parsed."""
    return Page(
        html=html,
        title=fields["title"],
        links=tuple(Link(link) for link in fields.get("links", ())),
        links_dropped=fields.get("links_dropped", 0),
        base_url=fields.get("base_url", url),
        metadata=Metadata(**fields.get("metadata", {})),
    )
