"""One page of the browser: its DevTools session, and what that session tells of documents and requests.

Playwright opens, guards and closes the page. Navigation, waiting and reading go over one DevTools session instead of
`goto` and selectors, because that is what gives a referrer policy, error names as data, the answers to client-side
redirects, a count of open requests, and an isolated world to read in; it is also a third faster, since Playwright
injects its selector engine into every document it looks into.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from importlib import resources
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Error, Page

from crawler.fetch.render_options import RenderOptions, Tag
from crawler.fetch.request_rules import RequestRules
from crawler.model import ErrorCode, Failure

#: Asked before each request for a document of the main frame.
Admit = Callable[[str], Awaitable[bool]]

#: Requests that may stay open for ever on a page that has long been complete.
_STREAMS = frozenset({"EventSource", "Media", "Ping", "Prefetch", "WebSocket"})
#: Both domains report a request at about the same time; a worker's only one of them does.
_TYPE_SECONDS = 1.0
_READER = resources.files("crawler.fetch").joinpath("page_reader.js").read_text()


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of a main document's HTTP response, as the browser saw it. Header names are lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    #: The type that the browser takes the body for; sniffed when the server named none.
    mime_type: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a document is read: nodes, characters of HTML and of its title, links."""

    nodes: int
    chars: int
    title: int
    links: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document as it stood at one moment. `html` is None if it is over the limits."""

    url: str
    nodes: int
    chars: int
    html: str | None
    title: str
    links: tuple[str, ...]


class Tab:
    """A page that is used for one visit after another. Not safe for two visits at once."""

    def __init__(self, page: Page, session: CDPSession, frame_id: str, rules: RequestRules) -> None:
        self.visits = 0
        #: The renderer crashed, the page or the whole browser is gone.
        self.lost = False
        self.loader = ""
        #: `net::ERR_…` of the last document that did not come.
        self.error_text = ""
        #: Of all answers of the visit that are complete.
        self.wire_bytes = 0
        self._page = page
        self._session = session
        self._frame_id = frame_id
        self._rules = rules
        self._admit: Admit | None = None
        self._pending: str | None = None
        self._reached: set[str] = set()
        self._open: set[str] = set()
        self._streams: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._types: dict[str, str] = {}
        self._challenged: set[str] = set()
        self._decisions: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    @classmethod
    async def open(cls, context: BrowserContext, options: RenderOptions) -> Tab:
        """Open a page. Raises Playwright's Error when the browser is gone."""
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        rules = RequestRules.of(options)
        tree = await session.send("Page.getFrameTree")
        tab = cls(page, session, tree["frameTree"]["frame"]["id"], rules)
        tab._listen()
        commands = [
            session.send("Page.enable"),
            session.send("Page.setLifecycleEventsEnabled", {"enabled": True}),
            session.send("Network.enable"),
            session.send("Fetch.enable", {"patterns": rules.interceptions,
                                          "handleAuthRequests": rules.credentials is not None}),
        ]  # fmt: skip
        if options.media_type is not None:
            # Playwright's own `emulate_media` is undone by the presence of a second session, this one.
            commands.append(session.send("Emulation.setEmulatedMedia", {"media": options.media_type}))
        await asyncio.gather(*commands)
        return tab

    def begin(self, admit: Admit) -> None:
        """Start a visit: `admit(url)` decides on each document the main frame asks for."""
        self.visits += 1
        self._admit = admit
        self.loader, self._pending = "", None
        self.wire_bytes = 0
        self.error_text = ""
        for state in (self._reached, self._open, self._streams, self._answers, self._types, self._challenged):
            state.clear()

    def end(self) -> None:
        """End the visit: what still runs in the page gets no new document."""
        self._admit = None

    async def close(self) -> None:
        """Close the page. Raises Playwright's Error when the browser is gone."""
        self.lose()
        for task in self._decisions:
            task.cancel()
        await self._page.close()

    def lose(self) -> None:
        """Mark the page as gone and wake whoever waits for it."""
        self.lost = True
        self._changed.set()

    # --- the visit's side -------------------------------------------------------------------------------------

    @property
    def navigating(self) -> bool:
        """Whether the main frame is on its way to another document."""
        return self._pending is not None

    @property
    def is_at_rest(self) -> bool:
        """Whether another page may come into the tab.

        While a request is open it may not: the old page goes only when the new one comes, and the new one may wait
        for ever for the connections that the old one holds, of which a browser opens six per host.
        """
        return not (self.lost or self.navigating or self._open or self._streams)

    @property
    def answer(self) -> Answer | None:
        """The HTTP response to the document in the tab, or to the last one asked for while there is none."""
        if self.loader in self._answers:
            return self._answers[self.loader]
        return None if self.loader else next(reversed(self._answers.values()), None)

    async def navigate(self, url: str, referrer: str | None, policy: str | None) -> str | Failure | None:
        """Go to a URL. Returns once its document starts to arrive, or with Chromium's error name (`net::ERR_…`)."""
        params = {"url": url}
        if referrer is not None:
            params["referrer"] = referrer
        if policy is not None:
            head, *rest = policy.split("-")
            params["referrerPolicy"] = head + "".join(word.capitalize() for word in rest)
        result = await self._send("Page.navigate", params)
        return result if isinstance(result, Failure) else result.get("errorText") or None

    def has_reached(self, *events: str) -> bool:
        """Whether the document in the tab has fired these life-cycle events, and no other is on its way."""
        return self._pending is None and self._reached.issuperset(events)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds or the tab is lost. It is looked at after each event of the page."""
        while not (self.lost or condition()):
            self._changed.clear()
            await self._changed.wait()

    async def quiet(self, length: timedelta) -> None:
        """Wait until the document has been parsed and no request was open for this long."""
        while not self.lost:
            await self.until(lambda: not self._open and self.has_reached("DOMContentLoaded"))
            try:
                async with asyncio.timeout(length.total_seconds()):
                    await self.until(lambda: bool(self._open) or self.navigating)
            except TimeoutError:
                return

    def notify(self) -> None:
        """Let `until` look at its condition again."""
        self._changed.set()

    async def read(self, limits: Limits, quiet: timedelta, longest: timedelta) -> Snapshot | Failure:
        """Read the document once it was not changed for `quiet`, at the latest after `longest`."""
        found = await self._run("read", asdict(limits), _milliseconds(quiet), _milliseconds(longest))
        if isinstance(found, Failure):
            return found
        html = found["html"]
        return Snapshot(
            url=found["url"],
            nodes=found["nodes"],
            chars=found["chars"],
            html=None if html is None else html.replace("\x00", "\ufffd"),
            title=found["title"].replace("\x00", "\ufffd"),
            links=tuple(found["links"]),
        )

    async def matches(self, selector: str, *, visible: bool, hidden: bool) -> bool | Failure:
        """Whether the document has the element, and if asked, shown or not shown."""
        found = await self._run("matches", selector, visible, hidden)
        return found if isinstance(found, Failure) else bool(found)

    async def add(self, kind: str, tags: Sequence[Tag]) -> Failure | None:
        """Add `script` or `style` elements, one after the other, waiting for those with an address."""
        missing = await self._run("add", kind, [asdict(tag) for tag in tags])
        if isinstance(missing, Failure) or missing is None:
            return missing
        return Failure(ErrorCode.PROTOCOL_ERROR, f"added {kind} did not load: {missing}")

    async def _run(self, name: str, *arguments: object) -> Any | Failure:
        """Call a function of page_reader.js in a world of its own in the document."""
        world = await self._send(
            "Page.createIsolatedWorld", {"frameId": self._frame_id, "worldName": "reader"}
        )
        if isinstance(world, Failure):
            return world
        call = {
            "expression": f"{_READER}.{name}({', '.join(map(json.dumps, arguments))})",
            "contextId": world["executionContextId"],
            "returnByValue": True,
            "awaitPromise": True,
        }
        done = await self._send("Runtime.evaluate", call)
        if isinstance(done, Failure):
            return done
        if "exceptionDetails" in done:
            thrown = done["exceptionDetails"].get("exception", {}).get("description", "")
            return Failure(ErrorCode.PROTOCOL_ERROR, f"{name}: {thrown[:500]}")
        return done["result"].get("value")

    async def _send(self, method: str, params: dict[str, Any]) -> dict[str, Any] | Failure:
        """Send one command. A failure means that the document, the page or the browser went away meanwhile."""
        try:
            result: dict[str, Any] = await self._session.send(method, params)
        except Error as error:
            return Failure(ErrorCode.BROWSER_CRASHED, f"{method}: {error.message}", retryable=True)
        return result

    # --- the browser's side -----------------------------------------------------------------------------------

    def _listen(self) -> None:
        handlers = {
            "Page.lifecycleEvent": self._on_lifecycle,
            "Network.requestWillBeSent": self._on_request,
            "Network.responseReceived": self._on_response,
            "Network.loadingFinished": self._on_finished,
            "Network.loadingFailed": self._on_finished,
            "Fetch.requestPaused": lambda event: self._decide(self._on_paused(event)),
            "Fetch.authRequired": lambda event: self._decide(self._on_challenge(event)),
        }
        for name, handler in handlers.items():
            self._session.on(name, handler)
        self._page.on("crash", lambda _: self.lose())
        self._page.on("close", lambda _: self.lose())

    def _on_lifecycle(self, event: dict[str, Any]) -> None:
        if event["frameId"] != self._frame_id or self._admit is None:
            return
        if event["name"] == "init":
            self._commit(event["loaderId"])
        elif event["loaderId"] == self.loader:
            self._reached.add(event["name"])
            if event["name"] == "networkIdle":
                # A navigation that became a download has stopped the document; nothing more will come of it.
                self._reached |= {"DOMContentLoaded", "load"}
        self._changed.set()

    def _commit(self, loader: str) -> None:
        """A new document is in the tab; the requests of the one before no longer count."""
        self.loader = loader
        if self._pending == loader:
            self._pending = None
        self._reached.clear()
        self._open.intersection_update({loader, self._pending})
        self._streams.clear()

    def _on_request(self, event: dict[str, Any]) -> None:
        request_id: str = event["requestId"]
        self._types[request_id] = event.get("type", "Other")
        (self._streams if self._types[request_id] in _STREAMS else self._open).add(request_id)
        if event.get("frameId") == self._frame_id and request_id == event["loaderId"]:
            self._pending = request_id
        self._changed.set()

    def _on_response(self, event: dict[str, Any]) -> None:
        if event.get("frameId") == self._frame_id and event["requestId"] == event["loaderId"]:
            response = event["response"]
            headers = {name.lower(): value.replace("\n", ", ") for name, value in response["headers"].items()}
            mime_type = response["mimeType"].lower()
            self._answers[event["loaderId"]] = Answer(response["url"], response["status"], headers, mime_type)

    def _on_finished(self, event: dict[str, Any]) -> None:
        request_id: str = event["requestId"]
        self.wire_bytes += max(0, int(event.get("encodedDataLength", 0)))
        self._open.discard(request_id)
        self._streams.discard(request_id)
        if self._pending == request_id and "errorText" in event:
            # It became a download, an empty answer or an error page; the latter will commit.
            self._pending = None
            self.error_text = event["errorText"]
        self._changed.set()

    def _decide(self, decision: Awaitable[None]) -> None:
        task = asyncio.ensure_future(decision)
        self._decisions.add(task)
        task.add_done_callback(self._decisions.discard)

    async def _on_paused(self, event: dict[str, Any]) -> None:
        request = event["request"]
        if event["resourceType"] == "Document" and event["frameId"] == self._frame_id:
            allowed = self._admit is not None and await self._admit(request["url"])
        else:
            allowed = not self._rules.refuse(await self._resource_type(event), request["url"])
        reply: dict[str, Any] = {"requestId": event["requestId"]}
        if not allowed:
            # "Aborted" leaves the document that is there in place; any other reason shows an error page.
            await self._send("Fetch.failRequest", {**reply, "errorReason": "Aborted"})
            return
        headers = self._rules.headers_for(request["url"], request["headers"])
        await self._send("Fetch.continueRequest", reply if headers is None else {**reply, "headers": headers})

    async def _resource_type(self, paused: dict[str, Any]) -> str:
        """The type as the Network domain names it: finer than that of the Fetch domain, and perhaps yet to come."""
        coarse: str = paused["resourceType"]
        request_id = paused.get("networkId")
        if not self._rules.rejected_types or coarse == "Fetch" or request_id is None:
            # The Fetch domain calls prefetches so; what the page fetches is XHR to it.
            return "Prefetch" if coarse == "Fetch" else coarse
        with suppress(TimeoutError):
            async with asyncio.timeout(_TYPE_SECONDS):
                await self.until(lambda: request_id in self._types)
        return self._types.get(request_id, coarse)

    async def _on_challenge(self, event: dict[str, Any]) -> None:
        credentials = self._rules.credentials_for(event["authChallenge"])
        answer: dict[str, str] = {"response": "CancelAuth"}
        if credentials is not None and event["requestId"] not in self._challenged:
            # Once per request: a second challenge means that they were wrong.
            self._challenged.add(event["requestId"])
            answer = {
                "response": "ProvideCredentials",
                "username": credentials.username,
                "password": credentials.password,
            }
        await self._send(
            "Fetch.continueWithAuth", {"requestId": event["requestId"], "authChallengeResponse": answer}
        )


def _milliseconds(length: timedelta) -> float:
    return length / timedelta(milliseconds=1)
