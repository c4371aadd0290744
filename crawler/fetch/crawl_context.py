"""What the pages of one crawl share in one browser: cookies, storage, and the way out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from playwright.async_api import Browser, BrowserContext, Error, WebSocketRoute

from crawler.fetch.chromium import PROXY_EVERYTHING
from crawler.fetch.proxy import EgressProxy, Listener
from crawler.fetch.render_options import Cookie, RenderOptions
from crawler.fetch.request_rules import RequestRules
from crawler.fetch.tab import Tab

if TYPE_CHECKING:
    from playwright._impl._api_structures import SetCookieParam

_CLOSE_SECONDS = 5.0


class CrawlContext:
    """A browser context of one crawl, and its tabs. Nothing in it is seen by another crawl."""

    def __init__(self, context: BrowserContext, listener: Listener, exits: AsyncExitStack) -> None:
        self.listener = listener
        self.tabs_in_use = 0
        self._context = context
        self._exits = exits
        self._tabs: set[Tab] = set()
        #: With the moment it was given back; the last one is taken first.
        self._idle: list[tuple[Tab, float]] = []
        self.used_at = asyncio.get_running_loop().time()

    @classmethod
    async def open(cls, browser: Browser, proxy: EgressProxy, options: RenderOptions) -> CrawlContext:
        """Raises Playwright's Error when the browser is gone."""
        async with AsyncExitStack() as exits:
            listener = await exits.enter_async_context(proxy.listener())
            viewport = options.viewport
            context = await browser.new_context(
                proxy={"server": f"http://127.0.0.1:{listener.port}", "bypass": PROXY_EVERYTHING},
                viewport={"width": viewport.width, "height": viewport.height},
                device_scale_factor=viewport.device_scale_factor,
                is_mobile=viewport.is_mobile,
                has_touch=viewport.has_touch,
                java_script_enabled=options.javascript,
                service_workers="block",
                accept_downloads=False,
                permissions=[],
            )
            if RequestRules.of(options).refuses_web_sockets:
                await context.route_web_socket("**", _refuse)
            if options.cookies:
                await context.add_cookies([_cookie(cookie, options.own_origin) for cookie in options.cookies])
            return cls(context, listener, exits.pop_all())

    async def take(self, options: RenderOptions) -> Tab:
        """A tab for one visit: one that is idle, else a new one. Give it back."""
        self.tabs_in_use += 1
        try:
            if self._idle:
                return self._idle.pop()[0]
            tab = await Tab.open(self._context, options)
        except BaseException:
            self.tabs_in_use -= 1
            raise
        self._tabs.add(tab)
        return tab

    def keep(self, tab: Tab) -> None:
        """Give a tab back for the next visit."""
        self.used_at = asyncio.get_running_loop().time()
        self.tabs_in_use -= 1
        self._idle.append((tab, self.used_at))

    async def discard(self, tab: Tab) -> bool:
        """Give a tab back and close it. False when the browser did not close it in time."""
        self.used_at = asyncio.get_running_loop().time()
        self.tabs_in_use -= 1
        return await self._close(tab)

    async def close_idle_tabs(self, idle_seconds: float) -> None:
        """Close tabs that nobody took for so long: the last page in them still runs its scripts."""
        latest = asyncio.get_running_loop().time() - idle_seconds
        stale = [tab for tab, since in self._idle if since <= latest]
        self._idle = [(tab, since) for tab, since in self._idle if since > latest]
        for tab in stale:
            await self._close(tab)

    async def _close(self, tab: Tab) -> bool:
        self._tabs.discard(tab)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await tab.close()
        except TimeoutError:
            return False
        except Error:
            pass
        return True

    def lose(self) -> None:
        """The browser is gone: wake whoever waits for a tab of it."""
        for tab in self._tabs:
            tab.traffic.lose()

    async def close(self) -> None:
        """Close all tabs, forget cookies and storage, cut every connection."""
        self.lose()
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._context.close()
        await self._exits.aclose()


async def _refuse(socket: WebSocketRoute) -> None:
    await socket.close()


def _cookie(cookie: Cookie, own_origin: str) -> SetCookieParam:
    found: SetCookieParam = {
        "name": cookie.name,
        "value": cookie.value,
        "httpOnly": cookie.http_only,
        "secure": cookie.secure,
    }
    if cookie.expires_at is not None:
        found["expires"] = cookie.expires_at
    if cookie.same_site is not None:
        found["sameSite"] = cookie.same_site
    if cookie.partition_key is not None:
        found["partitionKey"] = cookie.partition_key
    # The driver wants either a URL, or a domain with a path.
    if cookie.domain is not None:
        found["domain"], found["path"] = cookie.domain, cookie.path or "/"
    else:
        found["url"] = cookie.url or own_origin
    return found
