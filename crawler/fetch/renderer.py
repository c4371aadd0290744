"""Rendering for one process: a browser on first use, a context per crawl, a new browser whenever the old is spent.

A page can hang, crash or bloat its renderer, and with bad luck the browser: so nothing here waits for the browser
without a bound, a page that does not close takes its browser with it, and a crawl only ever loses the page it is at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from crawler.errors import Unavailable
from crawler.fetch import chromium
from crawler.fetch.proxy import EgressProxy
from crawler.fetch.render_options import RenderOptions
from crawler.model import ErrorCode, Failure, Refusal, Rendered
from crawler.settings import Settings

if TYPE_CHECKING:
    # Loaded by the first page that is rendered: processes that render nothing do without Playwright.
    from crawler.fetch.crawl_context import CrawlContext
    from crawler.fetch.generation import Generation
    from crawler.fetch.tab import Tab
    from crawler.fetch.visit import OnDocument

log = logging.getLogger(__name__)


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
        self._starting: asyncio.Task[Generation] | None = None
        #: How often in a row no browser started, why, and when the next one may be tried.
        self._failed_starts = 0
        self._failure = ""
        self._next_start_at = 0.0
        self._generations: set[Generation] = set()
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
        on_rest: Callable[[], None] = lambda: None,
    ) -> Rendered | Failure | Refusal:
        """Render one URL within `deadline_seconds` and the setting `render_timeout_seconds`.

        `on_document(url)` is asked before each document of the main frame: the URL itself, at the moment when the
        browser is ready to ask for it, and redirects by HTTP and by script. `on_rest()` is called, perhaps more than
        once, when nothing loads any more and the page is only watched before it is read. Options have to be the
        same for all pages of a crawl. `browser_seconds` counts from the moment the page got its tab. Raises what
        `check` raises.
        """
        seconds = min(deadline_seconds, self._settings.render_timeout_seconds)
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        opened_at: float | None = None

        def note_open() -> None:
            nonlocal opened_at
            opened_at = clock()

        outcome: Rendered | Failure | Refusal
        try:
            async with asyncio.timeout_at(deadline):
                generation = await self._current()
                outcome = await self._render(
                    generation,
                    url,
                    crawl_id=crawl_id,
                    options=options,
                    deadline=deadline,
                    on_open=note_open,
                    on_document=on_document,
                    on_rest=on_rest,
                )
        except TimeoutError:
            outcome = Failure(ErrorCode.TIMEOUT, f"not rendered within {seconds:g} s")
        return replace(outcome, browser_seconds=0.0 if opened_at is None else clock() - opened_at)

    async def close_crawl(self, crawl_id: str) -> None:
        """Forget a crawl that has ended: its cookies, its storage, its tabs. Its pages in flight fail."""
        for generation in list(self._generations):
            await generation.close_context(crawl_id)

    async def _render(
        self,
        generation: Generation,
        url: str,
        *,
        crawl_id: str,
        options: RenderOptions,
        deadline: float,
        on_open: Callable[[], None],
        on_document: OnDocument | None,
        on_rest: Callable[[], None],
    ) -> Rendered | Failure | Refusal:
        from playwright.async_api import Error  # noqa: PLC0415

        from crawler.fetch.visit import visit  # noqa: PLC0415

        outcome: Rendered | Failure | Refusal | None = None
        context: CrawlContext | None = None
        tab: Tab | None = None
        generation.visits += 1
        generation.in_use += 1
        try:
            context = await generation.context(crawl_id, options)
            tab = await context.take(options)
            on_open()
            context.listener.start_page(deadline - asyncio.get_running_loop().time())
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
                    self._chore(generation.discard(context, tab))
            if isinstance(outcome, Failure) and outcome.code is ErrorCode.BROWSER_CRASHED:
                is_shared = generation.browser.is_lost() and generation.note_loss() > 1
                outcome = replace(outcome, is_shared=is_shared)
            generation.in_use -= 1
            if generation.in_use == 0 and generation.is_spent:
                self._chore(generation.close())
        return outcome

    def _may_keep(self, tab: Tab, generation: Generation) -> bool:
        worn = tab.visits >= self._settings.navigations_per_page or generation.is_spent
        return tab.traffic.is_at_rest and not worn

    async def _current(self) -> Generation:
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

    async def _launch(self) -> Generation:
        from crawler.fetch.generation import Generation  # noqa: PLC0415

        try:
            generation = await Generation.launch(self._proxy, self._settings)
        except Unavailable as error:
            self._note_failure(error.message)
            raise
        self._failed_starts = 0
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

    async def _look_after(self, generation: Generation) -> None:
        await generation.look_after(self._is_memory_short)
        self._generations.discard(generation)

    def _chore(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
