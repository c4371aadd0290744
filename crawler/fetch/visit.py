"""One URL in one tab: go there, wait, read. Every wait is bounded; expected ends are values.

When a page counts as complete: first what the caller asked for (`waitUntil`, by default `domcontentloaded`), then
until no request was open for 60 ms and the document was not changed for the last 40 of them, at the latest after
`settle_seconds`. A client-side redirect that has begun, or a refresh that comes within that time, is followed to its
end. What a page adds later, by a timer for example, needs `waitForSelector` or `waitForTimeout`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from urllib.parse import urlsplit

from crawler import urls
from crawler.fetch import net_errors
from crawler.fetch.proxy import Listener
from crawler.fetch.render_options import RenderOptions, SelectorWait, WaitUntil
from crawler.fetch.tab import Limits, Snapshot, Tab
from crawler.fetch.traffic import Answer
from crawler.model import ErrorCode, Failure, Refusal, Rendered, Response
from crawler.settings import Settings

OnDocument = Callable[[str], Awaitable[Refusal | None]]

MAX_TITLE_CHARS = 1024
#: Both together, one after the other, since requests are counted during the second too.
_NETWORK_QUIET = timedelta(milliseconds=20)
_DOCUMENT_QUIET = timedelta(milliseconds=40)
_SELECTOR_INTERVAL = timedelta(milliseconds=100)
#: A document whose renderer does not answer for so long is in an endless loop.
_READ_TIMEOUT = timedelta(seconds=10)
#: Seconds, of which a refresh has whole ones.
_AT_ONCE = 1.0

#: Chromium's names of Puppeteer's events; the last two stand for 500 ms with no or at most two connections.
_EVENTS: dict[WaitUntil, str] = {
    "domcontentloaded": "DOMContentLoaded",
    "load": "load",
    "networkidle0": "networkIdle",
    "networkidle2": "networkAlmostIdle",
}


async def visit(
    tab: Tab,
    url: str,
    *,
    options: RenderOptions,
    settings: Settings,
    on_document: OnDocument | None,
    on_rest: Callable[[], None],
    network: Listener,
) -> Rendered | Failure | Refusal:
    """Render a URL. The caller bounds the whole, and closes the tab unless a Rendered came back.

    `on_document(url)` is asked before every document of the main frame: the URL itself, at the moment when the
    browser is ready to ask for it, and redirects by HTTP and by script. `on_rest()` is called, perhaps more than
    once, when nothing loads any more and the page is only watched before it is read. `network` is the tab's way
    out, which knows what the browser cannot: why a host was not reached. `browser_seconds` of the result is 0; the
    caller knows.
    """
    visit = _Visit(
        tab,
        url,
        options=options,
        settings=settings,
        on_document=on_document,
        on_rest=on_rest,
        network=network,
    )
    tab.begin(visit.admit)
    try:
        return await visit.run()
    finally:
        tab.end()


class _Visit:
    def __init__(
        self,
        tab: Tab,
        url: str,
        *,
        options: RenderOptions,
        settings: Settings,
        on_document: OnDocument | None,
        on_rest: Callable[[], None],
        network: Listener,
    ) -> None:
        self._tab = tab
        self._traffic = tab.traffic
        self._url = url
        self._options = options
        self._settings = settings
        self._on_document = on_document
        self._on_rest = on_rest
        self._network = network
        self._hops: list[str] = []
        self._verdict: Failure | Refusal | None = None

    async def admit(self, url: str) -> bool:
        """Decide on one more document of the main frame, be it by HTTP or by script."""
        if self._verdict is not None:
            return False
        self._hops.append(url)
        if urls.resolve(url, url, max_chars=self._settings.max_url_chars) is None:
            # The browser would ask the way out for a host that cannot be.
            self._verdict = Failure(ErrorCode.BAD_REDIRECT, url[:200])
        elif len(self._hops) > self._settings.max_redirects + 1:
            self._verdict = Failure(ErrorCode.TOO_MANY_REDIRECTS, f"{len(self._hops)} documents")
        elif self._on_document is not None:
            self._verdict = await self._on_document(url)
        self._traffic.notify()
        return self._verdict is None

    async def run(self) -> Rendered | Failure | Refusal:
        started = asyncio.get_running_loop().time()
        ended = await self._arrive() or await self._act()
        if ended is None:
            snapshot = await self._read()
            if isinstance(snapshot, Snapshot):
                seconds = asyncio.get_running_loop().time() - started
                return self._rendered(snapshot, seconds)
            ended = snapshot
        return self._over() or ended

    # --- steps ------------------------------------------------------------------------------------------------

    async def _arrive(self) -> Rendered | Failure | Refusal | None:
        """Go to the URL and wait for the events asked for."""
        options = self._options
        try:
            async with asyncio.timeout(_limit(options.goto_timeout)):
                error = await self._tab.navigate(self._url, options.referer, options.referrer_policy)
                if error is not None:
                    return self._not_arrived(error)
                unsupported = _unsupported(self._traffic.answer)
                if unsupported is not None:
                    return unsupported
                await self._reach()
        except TimeoutError:
            if not (options.best_attempt and self._traffic.loader):
                # A page that came but does not get ready will not next time either.
                return Failure(ErrorCode.TIMEOUT, "navigation", retryable=not self._traffic.loader)
        return self._over()

    async def _act(self) -> Failure | Refusal | None:
        """Add the caller's tags and wait for what the caller waits for."""
        options = self._options
        for kind, tags in (("style", options.style_tags), ("script", options.script_tags)):
            if tags:
                failure = await self._within_action(self._tab.add(kind, tags), options.action_timeout, kind)
                if failure is not None:
                    return failure
        wait = options.wait_for_selector
        if wait is not None:
            limit = options.action_timeout if wait.timeout is None else wait.timeout
            failure = await self._within_action(self._appear(wait), limit, "selector")
            if failure is not None:
                return failure
        if options.wait_for_timeout:
            await asyncio.sleep(options.wait_for_timeout.total_seconds())
        return self._over()

    async def _within_action(
        self, action: Awaitable[Failure | None], limit: timedelta, name: str
    ) -> Failure | None:
        try:
            async with asyncio.timeout(_limit(limit)):
                failure = await action
        except TimeoutError:
            failure = Failure(ErrorCode.TIMEOUT, name)
        return None if self._options.best_attempt else failure

    async def _appear(self, wait: SelectorWait) -> Failure | None:
        """Poll, rather than wait inside the document, so that redirects and pages without scripts do not matter."""
        while True:
            found = await self._tab.matches(wait.selector, visible=wait.visible, hidden=wait.hidden)
            if found is True or self._over() is not None:
                return None
            if isinstance(found, Failure) and found.code is not ErrorCode.BROWSER_CRASHED:
                return found
            await asyncio.sleep(_SELECTOR_INTERVAL.total_seconds())

    async def _read(self) -> Snapshot | Failure | Refusal:
        """Read the document that is there once nothing moves; again if the page went elsewhere meanwhile."""
        limits = Limits(
            nodes=self._settings.max_dom_nodes,
            chars=self._settings.max_html_bytes,
            title=MAX_TITLE_CHARS,
            links=self._settings.max_links_per_page,
        )
        longest = timedelta(seconds=self._settings.settle_seconds)
        clock = asyncio.get_running_loop().time
        settled_at = clock() + longest.total_seconds()
        renewed = ""
        while True:
            await self._settle(max(0.0, settled_at - clock()))
            over = self._over()
            if over is not None:
                return over
            is_late = clock() >= settled_at
            if is_late and self._traffic.loader != renewed and self._traffic.leaves_within(_AT_ONCE):
                # Its time went to the documents before it, or the machine is slow, and nobody would see it as it is
                # now. Once for each document, whose number is limited in `admit`, so this ends.
                renewed = self._traffic.loader
                settled_at = clock() + longest.total_seconds()
                continue
            loader, requests = self._traffic.loader, self._traffic.requests
            self._on_rest()
            try:
                async with asyncio.timeout((longest + _READ_TIMEOUT).total_seconds()):
                    snapshot = await self._tab.read(limits, _DOCUMENT_QUIET, longest)
            except TimeoutError:
                return Failure(ErrorCode.TIMEOUT, "the document does not answer")
            if self._traffic.navigating or self._traffic.loader != loader:
                settled_at = clock() + longest.total_seconds()
            elif clock() >= settled_at or (
                self._traffic.requests == requests
                and not self._traffic.leaves_within(longest.total_seconds())
            ):
                return snapshot

    async def _settle(self, longest_seconds: float) -> None:
        try:
            async with asyncio.timeout(longest_seconds):
                await self._traffic.quiet(_NETWORK_QUIET, self._settings.settle_seconds, self._on_rest)
        except TimeoutError:
            if not self._traffic.navigating:
                return
            try:
                async with asyncio.timeout(_limit(self._options.goto_timeout)):
                    await self._reach()
            except TimeoutError:
                if not self._options.best_attempt:
                    self._verdict = Failure(ErrorCode.TIMEOUT, "redirect by script", retryable=True)

    async def _reach(self) -> None:
        events = [_EVENTS[name] for name in self._options.wait_until]
        await self._traffic.until(lambda: self._over() is not None or self._traffic.has_reached(*events))

    # --- verdicts ---------------------------------------------------------------------------------------------

    def _over(self) -> Failure | Refusal | None:
        """Why the visit cannot go on, if it cannot."""
        if self._verdict is None:
            self._verdict = self._broken_limit()
        return self._verdict

    def _broken_limit(self) -> Failure | None:
        if self._traffic.lost:
            return Failure(ErrorCode.BROWSER_CRASHED, "the page is gone", retryable=True)
        if self._network.overrun is not None:
            return self._network.overrun
        if self._traffic.document_bytes > self._settings.max_document_bytes:
            return Failure(
                ErrorCode.TOO_LARGE, f"more than {self._settings.max_document_bytes} bytes decoded"
            )
        if self._traffic.broken_text:
            return net_errors.failure(self._traffic.broken_text)
        return None

    def _not_arrived(self, error: str | Failure) -> Rendered | Failure | Refusal:
        over = self._over()
        if over is not None:
            return over
        if isinstance(error, Failure):
            return error
        answer = self._traffic.answer
        if answer is not None:
            unsupported = _unsupported(answer)
            if unsupported is not None:
                return unsupported
            if error == "net::ERR_HTTP_RESPONSE_CODE_FAILURE" or answer.status in (204, 205):
                return Rendered(self._response(answer, 0.0), answer.url, "", "", (), 0.0)
            if error == "net::ERR_ABORTED":
                return Failure(ErrorCode.DOWNLOAD, answer.mime_type, media_type=answer.mime_type)
        return self._not_reached(error)

    def _not_reached(self, error_text: str) -> Failure:
        host = urlsplit(self._hops[-1] if self._hops else self._url).hostname or ""
        return self._network.failure_for(host) or net_errors.failure(error_text)

    def _rendered(self, snapshot: Snapshot, seconds: float) -> Rendered | Failure:
        if snapshot.url.startswith("chrome-error:"):
            return self._not_reached(self._traffic.error_text)
        if not snapshot.url.startswith(("http://", "https://")):
            return Failure(ErrorCode.BAD_REDIRECT, snapshot.url[:200])
        answer = self._traffic.answer
        if answer is None:
            return Failure(ErrorCode.PROTOCOL_ERROR, "a document without a response")
        if snapshot.html is None or len(snapshot.html.encode()) > self._settings.max_html_bytes:
            detail = f"{snapshot.nodes} nodes, {snapshot.chars} characters"
            return Failure(ErrorCode.DOM_TOO_LARGE, detail)
        response = self._response(answer, seconds)
        return Rendered(
            response, snapshot.url, snapshot.html, snapshot.title, self._links(snapshot), browser_seconds=0.0
        )

    def _links(self, snapshot: Snapshot) -> tuple[str, ...]:
        """The same links as of a page that was not rendered: none too long, and nobody's credentials in them."""
        longest = self._settings.max_url_chars
        found = (urls.resolve(snapshot.url, link, max_chars=longest) for link in snapshot.links)
        return tuple(dict.fromkeys(link for link in found if link is not None))

    def _response(self, answer: Answer, seconds: float) -> Response:
        set_cookie = self._traffic.set_cookie
        return Response(
            url=answer.url,
            status=answer.status,
            headers=answer.headers if set_cookie is None else {**answer.headers, "set-cookie": set_cookie},
            body=b"",
            redirects=tuple(self._hops[:-1]),
            wire_bytes=self._traffic.wire_bytes,
            elapsed_seconds=seconds,
        )


def _unsupported(answer: Answer | None) -> Failure | None:
    """Why this response is no page: a file to keep, or a type that shows no text."""
    if answer is None:
        return None
    if answer.headers.get("content-disposition", "").lstrip().lower().startswith("attachment"):
        return Failure(ErrorCode.DOWNLOAD, answer.mime_type, media_type=answer.mime_type)
    kind, _, subtype = answer.mime_type.partition("/")
    if kind == "text" or subtype in ("json", "xml") or subtype.endswith(("+json", "+xml")):
        return None
    if not kind:
        return None
    return Failure(ErrorCode.UNSUPPORTED_CONTENT, answer.mime_type, media_type=answer.mime_type)


def _limit(length: timedelta) -> float | None:
    """Seconds for asyncio.timeout; zero means none of its own, as in Puppeteer."""
    return length.total_seconds() or None
