"""One running Chromium with its driver: its crawls' contexts, its process tree, its end.

Playwright is asked first, the kernel has the last word: every call is bounded, and what does not end is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from uuid import uuid4

from playwright.async_api import Browser as PlaywrightBrowser
from playwright.async_api import Error, Playwright, async_playwright

from crawler.errors import ConfigurationError, Unavailable
from crawler.fetch import chromium, selftest
from crawler.fetch.browser_home import BrowserHome, parent, sweep
from crawler.fetch.processes import ProcessTree, runs
from crawler.settings import Settings

log = logging.getLogger(__name__)

_LAUNCH_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
#: Megabytes of young garbage that Node.js lets pile up in the driver, three times over; its own 16 are never worth it.
_DRIVER_OPTIONS = "--max-semi-space-size=2"


class Browser:
    """A launched browser. `launch` it, `close` it; it is never restarted, only replaced."""

    def __init__(
        self, driver: Playwright, browser: PlaywrightBrowser, home: BrowserHome, tree: ProcessTree
    ) -> None:
        self.playwright = browser
        #: Its processes take more memory than they may: use it no more.
        self.is_bloated = False
        #: Set once the browser or its driver is gone.
        self.gone = asyncio.Event()
        self._driver = driver
        self._home = home
        self._tree = tree
        self._network = tree.network()

    @classmethod
    async def launch(cls, settings: Settings) -> Browser:
        """Start Chromium and prove that nothing leaves it but through a proxy.

        Raises ConfigurationError when there is none or it may not be used, Unavailable when it does not start.
        """
        chromium.require_privileges(settings)
        executable = chromium.find_chromium(settings)
        if executable is None:
            raise ConfigurationError("No Chromium was found; install one, or set CRAWL_CHROMIUM to its path.")
        marker = uuid4().hex
        sweep()
        try:
            home = BrowserHome.make()
        except OSError as error:
            message = f"There is no place for the files of a browser in {parent()}: {error.strerror}."
            raise Unavailable(message) from error
        # The driver gets our environment, and Playwright knows no other way to give Node.js an option.
        os.environ.setdefault("NODE_OPTIONS", _DRIVER_OPTIONS)
        driver = None
        try:
            async with asyncio.timeout(_LAUNCH_SECONDS):
                with home.for_children():
                    driver = await async_playwright().start()
                launched = await driver.chromium.launch(
                    executable_path=executable,
                    args=chromium.switches(settings, marker=marker),
                    # The popup blocker stays on.
                    ignore_default_args=["--disable-popup-blocking"],
                    env=dict(chromium.environment(home.path)),
                    chromium_sandbox=chromium.has_sandbox(settings),
                    proxy={"server": chromium.DEAD_PROXY, "bypass": chromium.PROXY_EVERYTHING},
                    # Our own shutdown closes it; signals are not the driver's to handle.
                    handle_sigint=False,
                    handle_sigterm=False,
                    handle_sighup=False,
                )
                leak = await selftest.find_leak(launched)
                # Not before: now all of its processes run.
                browser = cls(driver, launched, home, ProcessTree.find(marker))
                launched.on("disconnected", lambda _: browser.gone.set())
        except (Error, OSError) as error:
            await _end(driver, ProcessTree.find(marker), home)
            message = f"Chromium at {executable} does not start: {_first_line(error)}"
            raise Unavailable(message) from error
        except BaseException:
            await _end(driver, ProcessTree.find(marker), home)
            raise
        if leak is not None:
            await browser.close()
            message = f"Chromium at {executable} cannot be used safely: {leak}."
            raise ConfigurationError(message)
        log.info("browser started", extra={"executable": str(executable), "version": launched.version})
        return browser

    def inspect(self, memory_bytes: int) -> None:
        """Look at the processes, once a second or so.

        Over `memory_bytes` the browser is marked, to be replaced once its pages are done; over twice as much, the
        largest process is killed. That is a renderer, and costs the page in it and nothing else, unless a page has
        filled its storage.
        """
        if self.is_lost():
            self.gone.set()
            return
        used = self._tree.memory_bytes()
        self.is_bloated = self.is_bloated or used > memory_bytes
        if used > 2 * memory_bytes:
            log.warning("a process of the browser was killed for its memory", extra={"tree_bytes": used})
            self._tree.kill_largest()

    def is_lost(self) -> bool:
        """Whether no page of it gets anywhere any more."""
        return self.gone.is_set() or not self._tree.is_alive() or self.has_lost_network()

    def has_lost_network(self) -> bool:
        """Whether the process that does the networking has died; a page can bring that about.

        Chromium starts it anew, but without the contexts' proxies: no page of theirs gets anywhere any more.
        """
        return self._network is not None and not runs(self._network)

    async def close(self) -> None:
        """End it, politely for some seconds, then for certain. Never raises for what the browser does."""
        self.gone.set()
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self.playwright.close()
        await _end(self._driver, self._tree, self._home)

    def kill(self) -> None:
        """End the browser at once; `close` cleans up."""
        self.gone.set()
        self._tree.kill_browser()


async def _end(driver: Playwright | None, tree: ProcessTree, home: BrowserHome) -> None:
    tree.kill_browser()
    if driver is not None:
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await driver.stop()
    await tree.kill(_CLOSE_SECONDS)
    home.remove()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
