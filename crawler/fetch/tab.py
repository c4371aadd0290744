"""One page of the browser, driven over a DevTools session of its own.

Playwright opens, guards and closes the page. Navigation, waiting and reading go over the session instead of `goto`
and selectors, because that is what gives a referrer policy, error names as data, the answers to client-side
redirects, a count of open requests, and an isolated world to read in; it is also a third faster, since Playwright
injects its selector engine into every document it looks into.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from importlib import resources
from inspect import Parameter, Signature
from typing import Any

from playwright.async_api import BrowserContext, CDPSession, Error, Page

from crawler.fetch.interception import Admit, Interception
from crawler.fetch.render_options import RenderOptions, Tag, Viewport
from crawler.fetch.request_rules import RequestRules
from crawler.fetch.traffic import Traffic
from crawler.model import ErrorCode, Failure

#: Nobody looks at a page: what the browser paints of it is a fiftieth as wide and high. The page is laid out in full
#: and is told its full size; painting that costs a tenth of all CPU time of a crawl.
_PAINTED_SCALE = 0.02


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
        self.traffic = Traffic(frame_id)
        self._page = page
        self._session = session
        self._interception = Interception(self._send, rules, self.traffic)
        for name, handler in self.traffic.handlers.items():
            session.on(name, _Listener(handler))
        session.on("Fetch.requestPaused", _Listener(self._interception.on_paused))
        session.on("Fetch.authRequired", _Listener(self._interception.on_challenge))
        page.on("crash", lambda _: self.traffic.lose())
        page.on("close", lambda _: self.traffic.lose())

    @classmethod
    async def open(cls, context: BrowserContext, options: RenderOptions) -> Tab:
        """Open a page. Raises Playwright's Error when the browser is gone."""
        page = await context.new_page()
        session = await context.new_cdp_session(page)
        rules = RequestRules.of(options)
        tree = await session.send("Page.getFrameTree")
        tab = cls(page, session, tree["frameTree"]["frame"]["id"], rules)
        commands: list[tuple[str, dict[str, Any]]] = [
            ("Page.enable", {}),
            ("Page.setLifecycleEventsEnabled", {"enabled": True}),
            # No bodies are asked for, so none are kept: they would fill the renderer's memory.
            ("Network.enable", {"maxTotalBufferSize": 0, "maxResourceBufferSize": 0}),
            (
                "Fetch.enable",
                {"patterns": rules.interceptions, "handleAuthRequests": rules.credentials is not None},
            ),
            ("Emulation.setDeviceMetricsOverride", _metrics(options.viewport)),
        ]
        if options.media_type is not None:
            # Playwright's own `emulate_media` is undone by the presence of a second session, this one.
            commands.append(("Emulation.setEmulatedMedia", {"media": options.media_type}))
        await asyncio.gather(*(session.send(method, params) for method, params in commands))
        return tab

    def begin(self, admit: Admit) -> None:
        """Start a visit: `admit(url)` decides on each document the main frame asks for."""
        self.visits += 1
        self.traffic.begin()
        self._interception.admit = admit

    def end(self) -> None:
        """End the visit: what still runs in the page gets no new document."""
        self._interception.admit = None

    async def close(self) -> None:
        """Close the page. Raises Playwright's Error when the browser is gone."""
        self.traffic.lose()
        self._interception.cancel()
        await self._page.close()

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
        if found is None:
            return Failure(ErrorCode.BAD_SELECTOR, selector[:500])
        return found if isinstance(found, Failure) else bool(found)

    async def add(self, kind: str, tags: Sequence[Tag]) -> Failure | None:
        """Add `script` or `style` elements, one after the other, waiting for those with an address."""
        missing = await self._run("add", kind, [asdict(tag) for tag in tags])
        if isinstance(missing, Failure) or missing is None:
            return missing
        return Failure(ErrorCode.PROTOCOL_ERROR, f"added {kind} did not load: {missing}")

    async def _run(self, name: str, *arguments: object) -> Any | Failure:
        """Call a function of page_reader.js in a world of its own in the document."""
        frame = {"frameId": self.traffic.frame_id, "worldName": "reader"}
        world = await self._send("Page.createIsolatedWorld", frame)
        if isinstance(world, Failure):
            return world
        call = {
            "expression": f"{_reader()}.{name}({', '.join(map(json.dumps, arguments))})",
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


class _Listener:
    """A handler that has its signature at hand: Playwright asks for it at each event, and working it out anew each time
    would be a twentieth of a worker's CPU time."""

    __signature__ = Signature([Parameter("event", Parameter.POSITIONAL_OR_KEYWORD)])

    def __init__(self, handle: Callable[[dict[str, Any]], None]) -> None:
        self._handle = handle

    def __call__(self, event: dict[str, Any]) -> None:
        self._handle(event)


@cache
def _reader() -> str:
    return resources.files("crawler.fetch").joinpath("page_reader.js").read_text()


def _metrics(viewport: Viewport) -> dict[str, Any]:
    """The size of the page: the same as that of its context, painted smaller."""
    is_turned = viewport.is_mobile and viewport.width <= viewport.height
    return {
        "width": viewport.width,
        "height": viewport.height,
        "screenWidth": viewport.width,
        "screenHeight": viewport.height,
        "deviceScaleFactor": viewport.device_scale_factor,
        "mobile": viewport.is_mobile,
        "screenOrientation": {
            "type": "portraitPrimary" if is_turned else "landscapePrimary",
            "angle": 90 if viewport.is_mobile and not is_turned else 0,
        },
        "scale": _PAINTED_SCALE,
    }


def _milliseconds(length: timedelta) -> float:
    return length / timedelta(milliseconds=1)
