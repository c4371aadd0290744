"""An origin that knows exactly when each request reached this machine, however busy the machine is.

Its pages are binary trees: `/<tag>/<size>/<n>` is page n of a tree of `size` pages and links to 2n+1 and 2n+2. Page 0
of every tree also links to a page that redirects to an address that nobody may connect to. Each page has an edition,
0 at first, that its text and its ETag tell; who asks about the one that is in force gets a 304.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

ADDRESS = "127.0.0.2"
FORBIDDEN_ADDRESS = "127.0.0.3"
HOSTS = ("h0.test", "h1.test", "h2.test")
#: Seconds; h1's is in its robots.txt.
DEFAULT_DELAY = 0.3
INTERVALS = {"h0.test": DEFAULT_DELAY, "h1.test": 0.5, "h2.test": DEFAULT_DELAY}

#: Linux, asm-generic/socket.h: the kernel's time of arrival of what `recvmsg` returns.
_SO_TIMESTAMPNS = 35
#: Stands in a page once per edition. No number: changes of those may mean nothing (`crawler/changes.py`).
_EDITED = "edited"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `at` is seconds since the epoch when the kernel received it, `actor` who sent it.

    `edition` is the page's at that moment, `known` the one that was asked about, None: the page was asked for in full.
    """

    at: float
    host: str
    path: str
    actor: str
    edition: int = 0
    known: int | None = None


def edition_of(html: str) -> int:
    """The edition of a page, by its text."""
    return html.count(_EDITED)


class Origin:
    """`with Origin() as origin:` serves every host of `HOSTS` on one port of 127.0.0.2; a canary is next door."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        #: Connections that reached the forbidden address.
        self.canary_hits = 0
        #: What is answered instead of 200 to pages (never to robots.txt).
        self.status = 200
        self.retry_after: int | None = None
        #: Stands at the end of every page.
        self.padding = ""
        #: By path.
        self._editions: Counter[str] = Counter()
        #: Page numbers that get no answer.
        self._held: set[str] = set()
        self._may_answer = threading.Condition()
        self._connections: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._listener = socket.create_server((ADDRESS, 0), backlog=256)
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.port: int = self._listener.getsockname()[1]
        self._canary = socket.create_server((FORBIDDEN_ADDRESS, self.port))
        self._threads = [
            threading.Thread(target=self._accept, name="origin"),
            threading.Thread(target=self._watch, name="canary"),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for listener in (self._listener, self._canary):
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def environment(self) -> dict[str, str]:
        names = [f"{host}={ADDRESS}" for host in HOSTS]
        return {
            "CRAWL_EGRESS_HOSTS": ",".join([*names, f"private.test={FORBIDDEN_ADDRESS}"]),
            "CRAWL_EGRESS_ALLOW_CIDRS": f"{ADDRESS}/32",
            "CRAWL_DEFAULT_DELAY": str(DEFAULT_DELAY),
        }

    def url(self, host: str, tag: str, size: int) -> str:
        """The root of a tree that no other crawl has."""
        return f"http://{host}:{self.port}/{tag}/{size}/0"

    def edit(self, path: str) -> None:
        """From now on the page is another one."""
        self._editions[path] += 1

    def hold_next(self, number: str) -> None:
        """Do not answer pages of this number until `release`."""
        self._held.add(number)

    def release(self) -> None:
        """Answer whatever is held."""
        with self._may_answer:
            self._held.clear()
            self._may_answer.notify_all()

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(request.path == path for request in self.requests)

    def pages(self) -> list[Request]:
        """Requests for pages, so all but robots.txt and sitemaps."""
        return [request for request in self.requests if request.path.count("/") == 3]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=[connection], name="origin-connection")
            self._threads.append(thread)
            thread.start()

    def _watch(self) -> None:
        while True:
            try:
                connection, _ = self._canary.accept()
            except OSError:
                return
            self.canary_hits += 1
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                buffer = b""
                while True:
                    data, ancillary, _, _ = connection.recvmsg(65_536, 1_024)
                    if not data:
                        return
                    buffer += data
                    if buffer.endswith(b"\r\n\r\n"):
                        connection.sendall(self._answer(buffer.decode("latin-1"), _arrival(ancillary)))
                        buffer = b""
        except OSError:
            return  # the client, or the end of the test
        finally:
            self._connections.discard(connection)

    def _answer(self, text: str, at: float) -> bytes:
        path = text.split(" ", 2)[1]
        headers = dict(line.lower().split(": ", 1) for line in text.split("\r\n")[1:] if ": " in line)
        host = headers["host"].partition(":")[0]
        edition = self._editions[path]
        etag = headers.get("if-none-match")
        known = None if etag is None else int(etag.strip('"'))
        self.requests.append(Request(at, host, path, headers["user-agent"].partition(" ")[2], edition, known))
        with self._may_answer:
            self._may_answer.wait_for(lambda: path.rpartition("/")[2] not in self._held)
        if path == "/robots.txt":
            delay = INTERVALS[host]
            rules = f"Crawl-delay: {delay}\n" if delay != DEFAULT_DELAY else ""
            return _http(200, f"User-agent: *\n{rules}Allow: /\n", "text/plain")
        if path.count("/") != 3:
            return _http(404, "nothing here")
        tag, size, number = path.strip("/").split("/")
        if number == "leak":
            return _http(302, "", extra=f"Location: http://private.test:{self.port}/secret\r\n")
        if self.status != 200:
            extra = "" if self.retry_after is None else f"Retry-After: {self.retry_after}\r\n"
            return _http(self.status, "not now", extra=extra)
        tag_now = f'ETag: "{edition}"\r\n'
        if known == edition:
            return _http(304, "", extra=tag_now)
        n = int(number)
        links = [f"/{tag}/{size}/{child}" for child in (2 * n + 1, 2 * n + 2) if child < int(size)]
        if n == 0:
            links.append(f"/{tag}/{size}/leak")
        anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
        text = " ".join([path, *[_EDITED] * edition])
        page = f"<title>{path}</title><h1>{text}</h1>{anchors}{self.padding}"
        return _http(200, page, extra=tag_now)


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("qq", value[:16])
            return float(seconds + nanoseconds / 1e9)
    return time.time()


def _http(status: int, body: str, content_type: str = "text/html", *, extra: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}; charset=utf-8\r\n"
        f"Content-Length: {len(body.encode())}\r\n{extra}\r\n"
    )
    return (head + body).encode()
