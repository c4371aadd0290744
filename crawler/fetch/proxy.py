"""A forward proxy for the browser, so that it can reach nothing but what `Egress` dials.

Each browser context has a listener of its own on a random loopback port. The port is the identity: it comes with
budgets and a deadline, and when they are spent its connections are cut. The browser resolves no names.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address

from crawler.errors import Unavailable
from crawler.fetch import forwarding
from crawler.fetch.addresses import normal_host
from crawler.fetch.egress import Egress
from crawler.fetch.idle_connections import IdleConnections
from crawler.fetch.peer import is_same_user
from crawler.model import ErrorCode, Failure
from crawler.recent import Recent
from crawler.settings import Settings

log = logging.getLogger(__name__)

_LOOPBACK = IPv4Address("127.0.0.1")
#: A connection that has sent no whole request head by then is closed.
_HEAD_SECONDS = 10.0
#: Hosts whose last failure is remembered; a page can invent any number of names.
_MAX_FAILURES = 256


class EgressProxy:
    """Makes listeners. Holds nothing itself, so one serves the whole process."""

    def __init__(self, egress: Egress, settings: Settings) -> None:
        self._egress = egress
        self._settings = settings

    @asynccontextmanager
    async def listener(self) -> AsyncIterator[Listener]:
        """A listener with full budgets and no deadline. At the end all of its connections are cut."""
        listener = Listener(self._egress, self._settings)
        server = await asyncio.start_server(listener.serve, str(_LOOPBACK), 0)
        listener.port = server.sockets[0].getsockname()[1]
        # Or a page could ask the proxy for the proxy, and so on.
        self._egress.close_to_all(_LOOPBACK, listener.port)
        try:
            yield listener
        finally:
            server.close()
            await listener.cut()
            self._egress.reopen(_LOOPBACK, listener.port)


class Listener:
    """What the pages of one browser context may use of the network. Counters are since the last `start_page`."""

    def __init__(self, egress: Egress, settings: Settings) -> None:
        self.port = 0
        self.bytes = 0
        self.requests = 0
        self.refused = 0
        self._egress = egress
        self._settings = settings
        self._connections: set[asyncio.Task[None]] = set()
        self._idle = IdleConnections()
        self._failures = Recent[str, Failure](_MAX_FAILURES)
        self._is_open = True
        self._deadline: asyncio.TimerHandle | None = None

    def start_page(self, deadline_seconds: float) -> None:
        """Fill the budgets for another page. Everything is cut at the latest deadline of all pages so far."""
        self.bytes = self.requests = self.refused = 0
        self._is_open = True
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + deadline_seconds
        if self._deadline is not None:
            ends_at = max(ends_at, self._deadline.when())
            self._deadline.cancel()
        self._deadline = loop.call_at(ends_at, self._shut)

    async def cut(self) -> None:
        """End all connections and accept no request until the next `start_page`."""
        self._shut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def failure_for(self, host: str) -> Failure | None:
        """Why the last connection to this host could not be made; None if it could, or none was asked for."""
        return self._failures.get(normal_host(host))

    @property
    def connections(self) -> int:
        """How many connections of the browser are open now."""
        return len(self._connections)

    @property
    def overrun(self) -> Failure | None:
        """Which budget of the page is spent, if one is."""
        if self.bytes > self._settings.max_page_bytes:
            return Failure(ErrorCode.TOO_LARGE, f"page took more than {self._settings.max_page_bytes} bytes")
        if self.requests > self._settings.max_page_requests:
            return Failure(
                ErrorCode.TOO_LARGE, f"page made more than {self._settings.max_page_requests} requests"
            )
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection of the browser: one plain request or one tunnel."""
        task = asyncio.current_task()
        assert task is not None
        try:
            if not self._is_open or len(self._connections) >= self._settings.max_page_connections:
                self.refused += 1
                return
            self._connections.add(task)
            if not is_same_user(writer.transport):
                self.refused += 1
                return
            await self._forward(reader, writer)
        except (OSError, TimeoutError, Unavailable, asyncio.CancelledError):
            # Either end went away, there is no descriptor for the far one, the browser never said what it wanted, or
            # the connection was cut. Nobody awaits this task but `cut`, and a cancelled one would be logged as an error
            # by asyncio.
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            request = await forwarding.read_request(reader)
        if isinstance(request, forwarding.BadRequest):
            self.refused += 1
            log.info("proxy refused a malformed request", extra={"reason": request.reason})
            await forwarding.answer(writer, b"400 Bad Request")
            return
        self.requests += 1
        if not self._spend(0):
            return
        near = forwarding.Stream(reader, writer)
        idle = self._idle.take(request.host, request.port) if request.is_repeatable else None
        if idle is not None:
            try:
                await self._exchange(request, near, idle)
            except forwarding.NoAnswer:
                # The origin was about to close it; only a new connection tells whether it answers.
                pass
            else:
                return
        sock = await self._egress.connect(request.host, request.port)
        if isinstance(sock, Failure):
            self._remember(request.host, sock)
            # A tunnel that is refused is an error page to the browser. A plain request is only closed, because an
            # answer of ours would be taken for the site's own page.
            if request.is_tunnel:
                blocked = sock.code is ErrorCode.BLOCKED_DESTINATION
                await forwarding.answer(writer, b"403 Forbidden" if blocked else b"502 Bad Gateway")
            return
        self._failures.forget(normal_host(request.host))
        await self._exchange(request, near, forwarding.Stream(*await asyncio.open_connection(sock=sock)))

    async def _exchange(
        self, request: forwarding.Request, near: forwarding.Stream, far: forwarding.Stream
    ) -> None:
        is_reusable = False
        try:
            is_reusable = await request.forward(near, far, self._spend)
        finally:
            if is_reusable and self._is_open:
                self._idle.keep(request.host, request.port, far)
            else:
                far.writer.transport.abort()

    def _spend(self, count: int) -> bool:
        """Count bytes in either direction. False, and everything is cut, when a budget is spent."""
        self.bytes += count
        if self._is_open and self.overrun is not None:
            self._shut()
        return self._is_open

    def _remember(self, host: str, failure: Failure) -> None:
        if failure.code is ErrorCode.BLOCKED_DESTINATION:
            self.refused += 1
        self._failures.put(normal_host(host), failure)

    def _shut(self) -> None:
        self._is_open = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._idle.close()
        for task in self._connections:
            task.cancel()
