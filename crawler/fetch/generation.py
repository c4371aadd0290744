"""One browser of the renderer, from its launch to the page that is its last, and the contexts of crawls in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from crawler.fetch.browser import Browser
from crawler.fetch.crawl_context import CrawlContext
from crawler.fetch.proxy import EgressProxy
from crawler.fetch.render_options import RenderOptions
from crawler.fetch.tab import Tab
from crawler.settings import Settings

_TICK_SECONDS = 1.0
#: An idle tab is kept for the next page of its crawl, an idle context for its cookies.
_IDLE_TAB_SECONDS = 2.0
_IDLE_CONTEXT_SECONDS = 600.0


class Generation:
    """One browser and the contexts of the crawls that use it."""

    def __init__(self, browser: Browser, proxy: EgressProxy, settings: Settings) -> None:
        self.browser = browser
        self.visits = 0
        self.in_use = 0
        self._proxy = proxy
        self._settings = settings
        #: By crawl; the one that was used last is at the end.
        self._contexts: dict[str, CrawlContext] = {}
        self._opening = asyncio.Lock()
        self._is_closing = False
        self._lost_with = 0
        self._closed = asyncio.Event()
        self._ends_at = asyncio.get_running_loop().time() + settings.browser_lifetime_seconds

    @classmethod
    async def launch(cls, proxy: EgressProxy, settings: Settings) -> Generation:
        """Start a browser. Raises what `Browser.launch` raises."""
        return cls(await Browser.launch(settings), proxy, settings)

    @property
    def is_spent(self) -> bool:
        """Whether it takes no more pages: enough visits, too old, too much memory, or gone."""
        browser = self.browser
        is_worn = self.visits >= self._settings.pages_per_browser or browser.is_bloated
        return is_worn or browser.gone.is_set() or asyncio.get_running_loop().time() >= self._ends_at

    def note_loss(self, *, left: int = 0) -> int:
        """The browser is lost: how many pages were in it at least, with `left` that are not any more."""
        self._lost_with = max(self._lost_with, self.in_use + left)
        return self._lost_with

    async def context(self, crawl_id: str, options: RenderOptions) -> CrawlContext:
        """The crawl's context. Raises Playwright's Error when the browser is gone."""
        async with self._opening:
            context = self._contexts.pop(crawl_id, None)
            if context is None:
                await self._make_room()
                context = await CrawlContext.open(self.browser.playwright, self._proxy, options)
            self._contexts[crawl_id] = context
            return context

    async def close_context(self, crawl_id: str) -> None:
        context = self._contexts.pop(crawl_id, None)
        if context is not None:
            await context.close()

    async def discard(self, context: CrawlContext, tab: Tab) -> None:
        """Close a tab; if it does not close, its renderer is out of control, and the browser with it."""
        if not await context.discard(tab):
            self.note_loss(left=1)
            self.browser.kill()

    async def look_after(self, is_memory_short: Callable[[], bool]) -> None:
        """Watch processes and idle contexts until the browser is gone, or is idle and may not stay; then clean up."""
        gone = self.browser.gone
        while not gone.is_set() and (self.in_use or not (self.is_spent or is_memory_short())):
            self.browser.inspect(self._settings.browser_memory_bytes)
            now = asyncio.get_running_loop().time()
            for crawl_id, context in list(self._contexts.items()):
                await context.close_idle_tabs(_IDLE_TAB_SECONDS)
                if not context.tabs_in_use and context.used_at < now - _IDLE_CONTEXT_SECONDS:
                    await self.close_context(crawl_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await gone.wait()
        await self.close()

    async def close(self) -> None:
        """Close contexts and browser. Pages in flight are told; a second call waits for the first."""
        if self._is_closing:
            await self._closed.wait()
            return
        self._is_closing = True
        contexts, self._contexts = list(self._contexts.values()), {}
        for context in contexts:
            context.lose()
        await self.browser.close()
        for context in contexts:
            await context.close()
        self._closed.set()

    async def _make_room(self) -> None:
        """Close the idle context that was not used for longest, if there are as many as may be."""
        if len(self._contexts) < self._settings.contexts_per_browser:
            return
        idle = next(
            (crawl_id for crawl_id, context in self._contexts.items() if not context.tabs_in_use), None
        )
        if idle is not None:
            await self.close_context(idle)
