"""A site in the test's own hands: a chain of pages that can be held, and a log of what was asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from aiohttp import web


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """A server on a free port of 127.0.0.1 for the length of the block; its URL ends in a slash."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def serving_pages(pages: Mapping[str, str]) -> AbstractAsyncContextManager[str]:
    """A server of these bodies by path; 404 for all else."""

    async def answer(request: web.Request) -> web.Response:
        found = pages.get(request.path)
        return web.Response(text=found or "", status=200 if found else 404, content_type="text/html")

    return serving(answer)


class Chain:
    """Pages `/1` … `/N`, each linking to the next; `/` links to the first. There is no robots.txt and no sitemap."""

    def __init__(self, length: int) -> None:
        self._length = length
        #: How often each page was asked for.
        self.requests: Counter[str] = Counter()
        self._held = ""
        self._arrived = asyncio.Event()
        self._released = asyncio.Event()
        self._exit = AsyncExitStack()
        #: The start.
        self.url = ""

    def hold(self, path: str) -> None:
        """From now on, do not answer this page until `release`."""
        self._held = path
        self._arrived.clear()
        self._released.clear()

    async def arrival(self) -> None:
        """Wait until the held page is asked for."""
        async with asyncio.timeout(60):
            await self._arrived.wait()

    def release(self) -> None:
        """Answer the held page."""
        self._held = ""
        self._released.set()

    @property
    def urls(self) -> list[str]:
        """All pages."""
        return [self.url, *(f"{self.url}{number}" for number in range(1, self._length + 1))]

    async def __aenter__(self) -> Self:
        self.url = await self._exit.enter_async_context(serving(self._answer))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        await self._exit.aclose()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests[request.path] += 1
        if request.path == self._held:
            self._arrived.set()
            await self._released.wait()
        name = request.path.removeprefix("/") or "0"
        if not name.isdecimal() or int(name) > self._length:
            return web.Response(status=404, text="<title>Lost</title>", content_type="text/html")
        link = f"<a href='/{int(name) + 1}'>next</a>" if int(name) < self._length else "the end"
        return web.Response(
            text=f"<title>Page {name}</title><p>This is page {name}: {link}", content_type="text/html"
        )
