"""What the origins of a file of rows do at which path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.fetch.origins import Origin, Route, Script, page

HTML = "Content-Type: text/html"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
END = page(b"<title>end</title><p>the end<a href=/from-end>x</a>", HTML)
RULES = page(b"User-agent: *\nDisallow: /disallowed/\n", "Content-Type: text/plain")
NONE = page(b"no", status="404 Not Found")


def text(body: str, *headers: str, status: str = "200 OK") -> bytes:
    """An HTML page."""
    return page(body.encode(), HTML, *headers, status=status)


@dataclass(frozen=True)
class Reply:
    """An answer made from the head of its request."""

    make: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Site:
    """Rows are linked from a start page; `more` is what they lead to, `elsewhere` is on the other host."""

    rows: Mapping[str, Route | Reply]
    more: Mapping[str, Route | Reply] = field(default_factory=dict)
    elsewhere: Mapping[str, Route | Reply] = field(default_factory=dict)
    #: Links of the start page besides those to the rows.
    links: tuple[str, ...] = ()

    def lay_out(self, site: Origin, other: Origin, canary: int) -> None:
        """Put everything on the origins, and nothing else. In answers `{port}` is the port of `site`, `{canary}` that
        of the canary, and `{other}` where the other host is."""
        names = {"port": site.port, "canary": canary, "other": other.url("", host="other.test")}
        links = "".join(f"<a href='{path}'>x</a>" for path in (*self.rows, *self.links))
        given = {"/": text(f"<title>rows</title>{links}"), "/robots.txt": RULES, **self.rows, **self.more}
        for origin, routes in ((site, given), (other, {"/robots.txt": RULES, **self.elsewhere})):
            origin.heads.clear()
            origin.routes.clear()
            origin.routes |= {path: _filled(route, origin, names) for path, route in routes.items()}


def replying(origin: Origin, reply: Callable[[bytes], bytes]) -> Script:
    """A route of `origin` that answers by the head of the request."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(origin.heads[-1]))
        await writer.drain()

    return send


def _filled(route: Route | Reply, origin: Origin, names: Mapping[str, object]) -> Route:
    if isinstance(route, Reply):
        return replying(origin, lambda head: _fill(route.make(head), names))
    return _fill(route, names) if isinstance(route, bytes) else route


def _fill(answer: bytes, names: Mapping[str, object]) -> bytes:
    """The answer with names in place of their marks, and with the Content-Length that it has then."""
    head, blank, body = answer.partition(b"\r\n\r\n")
    lengths = b"Content-Length: %d" % len(body)
    for name, value in names.items():
        mark = b"{%s}" % name.encode()
        head, body = head.replace(mark, str(value).encode()), body.replace(mark, str(value).encode())
    return head.replace(lengths, b"Content-Length: %d" % len(body)) + blank + body
