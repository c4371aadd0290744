"""What a tab is at: its main document, and its open requests, as DevTools events tell it. No I/O of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

#: Requests that may stay open for ever on a page that has long been complete.
_STREAMS = frozenset({"EventSource", "Media", "Ping", "Prefetch", "WebSocket"})
#: Why a navigation is scheduled (Page.ClientNavigationReason), where the page has told when.
_REFRESHES = frozenset({"httpHeaderRefresh", "metaTagRefresh"})


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of a main document's HTTP response, as the browser saw it. Header names are lower case."""

    url: str
    status: int
    headers: Mapping[str, str]
    #: The type that the browser takes the body for; sniffed when the server named none.
    mime_type: str


class Traffic:
    """The state of one tab during one visit. A document is known by its loader id, which is its request's id too."""

    def __init__(self, frame_id: str) -> None:
        """`frame_id` is the tab's main frame; it stays the same whatever comes into the tab."""
        self.frame_id = frame_id
        #: The crash, the closing, or the end of the browser.
        self.lost = False
        self._changed = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        """Start anew, for another visit."""
        #: The document in the tab; "" until the visit's first has come.
        self.loader = ""
        #: The document on its way.
        self._pending: str | None = None
        #: After how many seconds the document in the tab is to be replaced by another.
        self._refresh_seconds: float | None = None
        #: `net::ERR_…` of the last document that did not come.
        self.error_text = ""
        #: `net::ERR_…` that ended the document in the tab before its end.
        self.broken_text = ""
        #: How many there were so far, but for streams.
        self.requests = 0
        #: On the wire, of all answers that are complete.
        self.wire_bytes = 0
        #: Types of requests (Network.ResourceType) by request id.
        self.types: dict[str, str] = {}
        self._reached: set[str] = set()
        self._open: set[str] = set()
        self._streams: set[str] = set()
        self._answers: dict[str, Answer] = {}
        self._set_cookies: dict[str, str] = {}
        #: Decoded bytes of main documents so far.
        self._document_bytes: dict[str, int] = {}

    def lose(self) -> None:
        """The tab is gone: wake whoever waits for it."""
        self.lost = True
        self._changed.set()

    def notify(self) -> None:
        """Let `until` look at its condition again."""
        self._changed.set()

    @property
    def handlers(self) -> Mapping[str, Callable[[dict[str, Any]], None]]:
        """What to do at which event of the tab's session."""
        return {
            "Page.lifecycleEvent": self._on_lifecycle,
            "Page.frameScheduledNavigation": self._on_scheduled,
            "Network.requestWillBeSent": self._on_request,
            "Network.responseReceived": self._on_response,
            "Network.responseReceivedExtraInfo": self._on_raw_response,
            "Network.dataReceived": self._on_data,
            "Network.loadingFinished": self._on_finished,
            "Network.loadingFailed": self._on_finished,
        }

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

    @property
    def set_cookie(self) -> str | None:
        """The Set-Cookie field of the document in the tab, which is left out of the headers of its `answer`."""
        return self._set_cookies.get(self.loader)

    @property
    def document_bytes(self) -> int:
        """How much of the document in the tab has come, without its Content-Encoding."""
        return self._document_bytes.get(self.loader, 0)

    def has_reached(self, *events: str) -> bool:
        """Whether the document in the tab has fired these life-cycle events, and no other is on its way."""
        return self._pending is None and self._reached.issuperset(events)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds or the tab is lost. It is looked at after each event of the page."""
        while not (self.lost or condition()):
            self._changed.clear()
            await self._changed.wait()

    def leaves_within(self, seconds: float) -> bool:
        """Whether the document in the tab has said, by a refresh, that another will replace it so soon."""
        return self._refresh_seconds is not None and self._refresh_seconds < seconds

    async def quiet(self, length: timedelta, horizon_seconds: float, on_rest: Callable[[], None]) -> None:
        """Wait until the document has been parsed, does not leave within the horizon, and no request was open for
        this long. `on_rest()` is called whenever that time begins."""

        def is_settled() -> bool:
            is_parsed = self.has_reached("DOMContentLoaded")
            return is_parsed and not self._open and not self.leaves_within(horizon_seconds)

        while not self.lost:
            await self.until(is_settled)
            on_rest()
            try:
                async with asyncio.timeout(length.total_seconds()):
                    await self.until(lambda: not is_settled())
            except TimeoutError:
                return

    def _on_lifecycle(self, event: dict[str, Any]) -> None:
        if event["frameId"] != self.frame_id:
            return
        if event["name"] == "init":
            self._commit(event["loaderId"])
        elif event["loaderId"] == self.loader:
            self._reached.add(event["name"])
            if event["name"] == "networkIdle":
                # A navigation that became a download has stopped the document; nothing more will come of it.
                self._reached |= {"DOMContentLoaded", "load"}
        self._changed.set()

    def _on_scheduled(self, event: dict[str, Any]) -> None:
        if event["frameId"] == self.frame_id and event["reason"] in _REFRESHES:
            self._refresh_seconds = event["delay"]
            self._changed.set()

    def _commit(self, loader: str) -> None:
        """A new document is in the tab; the requests of the one before no longer count."""
        self.loader = loader
        if self._pending == loader:
            self._pending = None
        self.broken_text = ""
        self._refresh_seconds = None
        self._reached.clear()
        self._open &= {loader, self._pending}
        self._streams.clear()

    def _on_request(self, event: dict[str, Any]) -> None:
        request_id: str = event["requestId"]
        self.types[request_id] = event.get("type", "Other")
        if self.types[request_id] in _STREAMS:
            self._streams.add(request_id)
        else:
            self._open.add(request_id)
            self.requests += 1
        if self._is_main_document(event):
            self._pending = request_id
        self._changed.set()

    def _on_response(self, event: dict[str, Any]) -> None:
        if self._is_main_document(event):
            response = event["response"]
            headers = {name.lower(): value.replace("\n", ", ") for name, value in response["headers"].items()}
            mime_type = response["mimeType"].lower()
            self._answers[event["loaderId"]] = Answer(response["url"], response["status"], headers, mime_type)

    def _on_raw_response(self, event: dict[str, Any]) -> None:
        for name, value in event["headers"].items():
            if name.lower() == "set-cookie":
                self._set_cookies[event["requestId"]] = value.replace("\n", ", ")

    def _on_data(self, event: dict[str, Any]) -> None:
        request_id: str = event["requestId"]
        if request_id in self._answers:
            self._document_bytes[request_id] = self._document_bytes.get(request_id, 0) + event["dataLength"]
            self._changed.set()

    def _on_finished(self, event: dict[str, Any]) -> None:
        request_id: str = event["requestId"]
        self.wire_bytes += max(0, int(event.get("encodedDataLength", 0)))
        self._open.discard(request_id)
        self._streams.discard(request_id)
        if self._pending == request_id and "errorText" in event:
            # It became a download, an empty answer or an error page; the latter will commit.
            self._pending = None
            self.error_text = event["errorText"]
        elif request_id == self.loader and "errorText" in event and not event.get("canceled"):
            # The page itself may stop its loading; nobody else may, or half a page would pass for a whole one.
            self.broken_text = event["errorText"]
        self._changed.set()

    def _is_main_document(self, event: dict[str, Any]) -> bool:
        return event.get("frameId") == self.frame_id and event["requestId"] == event["loaderId"]
