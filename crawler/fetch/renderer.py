"""Rendering for one process: a browser on first use, a context per crawl, a new browser whenever the old is spent.

A page can hang, crash or bloat its renderer, and with bad luck the browser: so nothing here waits for the browser
without a bound, a page that does not close takes its browser with it, and a crawl only ever loses the page it is at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from playwright.async_api import Error

from crawler.errors import Unavailable
from crawler.fetch import chromium
from crawler.fetch.browser import Browser
from crawler.fetch.crawl_context import CrawlContext
from crawler.fetch.proxy import EgressProxy
from crawler.fetch.render_options import RenderOptions
from crawler.fetch.tab import Tab
from crawler.fetch.visit import OnDocument, visit
from crawler.model import ErrorCode, Failure, Refusal, Rendered
from crawler.settings import Settings

log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
#: An idle tab is kept for the next page of its crawl, an idle context for its cookies.
_IDLE_TAB_SECONDS = 2.0
_IDLE_CONTEXT_SECONDS = 600.0


class Renderer:
    """Renders URLs. One per process, opened after any fork; closing it leaves no process behind."""

    def __init__(
        self,
        proxy: EgressProxy,
        settings: Settings,
        *,
        on_start: Callable[[], None] | None = None,
        is_memory_short: Callable[[], bool] = lambda: False,
    ) -> None:
        """`on_start` is called whenever a browser has started. While `is_memory_short`, an idle browser is closed."""
        self._on_start = on_start
        self._is_memory_short = is_memory_short
        self._proxy = proxy
        self._settings = settings
        self._starting: asyncio.Task[_Generation] | None = None
        #: How often in a row no browser started, why, and when the next one may be tried.
        self._failed_starts = 0
        self._failure = ""
        self._next_start_at = 0.0
        self._generations: set[_Generation] = set()
        self._chores: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every browser. Pages in flight end as failures."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
            self._starting = None
        await asyncio.gather(*(generation.close() for generation in list(self._generations)))
        while self._chores:
            await asyncio.gather(*self._chores, return_exceptions=True)

    @property
    def hindrance(self) -> str:
        """Why no page can be rendered just now: the last browser did not start and the next one is not due; or ""."""
        is_early = asyncio.get_running_loop().time() < self._next_start_at
        return self._failure if is_early else ""

    async def check(self) -> str:
        """Name and version of the browser, which is started if need be.

        Raises ConfigurationError when there is none or it may not be used, Unavailable when it does not start.
        """
        generation = await self._current()
        sandbox = "" if chromium.has_sandbox(self._settings) else ", without its sandbox"
        return f"Chromium {generation.browser.playwright.version}{sandbox}"

    async def render(
        self,
        url: str,
        *,
        crawl_id: str,
        options: RenderOptions,
        deadline_seconds: float,
        on_document: OnDocument | None = None,
        on_rest: Callable[[], None] | None = None,
    ) -> Rendered | Failure | Refusal:
        """Render one URL within `deadline_seconds` and the setting `render_timeout_seconds`.

        `on_document(url)` is asked before each document of the main frame: the URL itself, at the moment when the
        browser is ready to ask for it, and redirects by HTTP and by script. `on_rest()` is called, perhaps more than
        once, when nothing loads any more and the page is only watched before it is read. Options have to be the
        same for all pages of a crawl. `browser_seconds` counts from the moment the page got its tab. Raises what
        `check` raises.
        """
        seconds = min(deadline_seconds, self._settings.render_timeout_seconds)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                generation = await self._current()
                return await self._render(
                    generation,
                    url,
                    crawl_id=crawl_id,
                    options=options,
                    deadline=deadline,
                    on_document=on_document,
                    on_rest=on_rest,
                )
        except TimeoutError:
            return Failure(ErrorCode.TIMEOUT, f"not rendered within {seconds:g} s")

    async def close_crawl(self, crawl_id: str) -> None:
        """Forget a crawl that has ended: its cookies, its storage, its tabs. Its pages in flight fail."""
        for generation in list(self._generations):
            await generation.close_context(crawl_id)

    async def _render(
        self,
        generation: _Generation,
        url: str,
        *,
        crawl_id: str,
        options: RenderOptions,
        deadline: float,
        on_document: OnDocument | None,
        on_rest: Callable[[], None] | None,
    ) -> Rendered | Failure | Refusal:
        loop = asyncio.get_running_loop()
        outcome: Rendered | Failure | Refusal | None = None
        context: CrawlContext | None = None
        tab: Tab | None = None
        generation.visits += 1
        generation.in_use += 1
        try:
            context = await generation.context(crawl_id, options)
            tab = await context.take(options)
            started = loop.time()
            context.listener.start_page(deadline - started)
            outcome = await visit(
                tab,
                url,
                options=options,
                settings=self._settings,
                on_document=on_document,
                on_rest=on_rest,
                network=context.listener,
            )
            if generation.browser.has_lost_network():
                generation.browser.kill()
                outcome = Failure(ErrorCode.BROWSER_CRASHED, "the network process is gone", retryable=True)
        except Error as error:
            outcome = Failure(ErrorCode.BROWSER_CRASHED, str(error), retryable=True)
        finally:
            if context is not None and tab is not None:
                if isinstance(outcome, Failure) and outcome.code is ErrorCode.TOO_LARGE:
                    # With others on the same way out it is not known whose traffic it was.
                    outcome = replace(outcome, retryable=context.tabs_in_use > 1)
                if isinstance(outcome, Rendered) and outcome.html and self._may_keep(tab, generation):
                    context.keep(tab)
                else:
                    self._chore(_discard(generation, context, tab))
            if isinstance(outcome, Failure) and outcome.code is ErrorCode.BROWSER_CRASHED:
                is_shared = generation.browser.is_lost() and generation.note_loss() > 1
                outcome = replace(outcome, is_shared=is_shared)
            generation.in_use -= 1
            if generation.in_use == 0 and generation.is_spent:
                self._chore(generation.close())
        if isinstance(outcome, Rendered):
            return replace(outcome, browser_seconds=loop.time() - started)
        return outcome

    def _may_keep(self, tab: Tab, generation: _Generation) -> bool:
        worn = tab.visits >= self._settings.navigations_per_page or generation.is_spent
        return tab.traffic.is_at_rest and not worn

    async def _current(self) -> _Generation:
        """The browser for new pages; launched, once for all that wait, when there is none or it is spent."""
        while True:
            if self._starting is None:
                if self.hindrance:
                    raise Unavailable(self.hindrance)
                self._starting = asyncio.create_task(self._launch(), name="launch browser")
            starting = self._starting
            try:
                # Shielded, because others wait for it too, and because half a launch is worse than one too many.
                generation = await asyncio.shield(starting)
            except BaseException:
                if starting.done() and self._starting is starting:
                    self._starting = None
                raise
            if not generation.is_spent:
                return generation
            if self._starting is starting:
                self._starting = None
                if generation.in_use == 0:
                    self._chore(generation.close())

    async def _launch(self) -> _Generation:
        try:
            browser = await Browser.launch(self._settings)
        except Unavailable as error:
            self._note_failure(error.message)
            raise
        self._failed_starts = 0
        generation = _Generation(browser, self._proxy, self._settings)
        if self._on_start is not None:
            self._on_start()
        self._generations.add(generation)
        self._chore(self._look_after(generation))
        return generation

    def _note_failure(self, message: str) -> None:
        """Each failure in a row doubles the time to the next try."""
        longest = self._settings.browser_retry_seconds
        seconds = min(2.0 ** min(self._failed_starts, 30), longest)
        self._failed_starts += 1
        self._failure = message
        self._next_start_at = asyncio.get_running_loop().time() + seconds
        log.error("no browser, tried again in %g s: %s", seconds, message)

    async def _look_after(self, generation: _Generation) -> None:
        await generation.look_after(self._is_memory_short)
        self._generations.discard(generation)

    def _chore(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


class _Generation:
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


async def _discard(generation: _Generation, context: CrawlContext, tab: Tab) -> None:
    """Close a tab; if it does not close, its renderer is out of control, and the browser with it."""
    if not await context.discard(tab):
        generation.note_loss(left=1)
        generation.browser.kill()
