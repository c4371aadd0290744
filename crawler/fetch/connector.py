"""aiohttp on our way out: its pool and its parser, but every connection opened by `Egress`.

Use it for any client that leaves the machine: `aiohttp.ClientSession(connector=EgressConnector(egress, settings))`.
There is no aiohttp resolver in it that an address literal could go around.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cached_property
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_proto import ResponseHandler

from crawler.fetch.egress import Egress
from crawler.model import ErrorCode, Failure
from crawler.settings import Settings

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.http import RawResponseMessage
    from aiohttp.streams import StreamReader
    from aiohttp.tracing import Trace

#: Short, because politeness spreads a host's requests and many hosts would leave many idle sockets.
_KEEPALIVE_SECONDS = 5.0
#: 1xx answers before the final one. An endless row of them would keep us busy for nothing.
_MAX_INFORMATIONAL = 20


class NoConnection(Exception):
    """The egress brought a Failure instead of a socket. aiohttp passes it on as it is."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class EgressConnector(aiohttp.BaseConnector):
    """Opens http and https connections through `Egress`. TLS is verified against the system's authorities."""

    def __init__(self, egress: Egress, settings: Settings) -> None:
        # No limit here: who fetches bounds its own work, and a second queue would only hide it.
        super().__init__(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS)
        self._egress = egress
        self._tls_timeout_seconds = settings.tls_timeout_seconds

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made for the first https page: loading the authorities takes tens of milliseconds."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        """Called by aiohttp when its pool has no connection for this host and port. Raises NoConnection."""
        host = req.url.raw_host or ""
        sock = await self._egress.connect(host, req.port or 0)
        if isinstance(sock, Failure):
            raise NoConnection(sock)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._tls_timeout_seconds):
                _, handler = await loop.create_connection(
                    lambda: _Handler(loop),
                    sock=sock,
                    ssl=self._tls if req.is_ssl() else None,
                    server_hostname=host.rstrip(".") if req.is_ssl() else None,
                )
        except TimeoutError:
            raise NoConnection(Failure(ErrorCode.TIMEOUT, f"{host}: TLS handshake", retryable=True)) from None
        except ssl.SSLError as error:
            raise NoConnection(Failure(ErrorCode.TLS_ERROR, f"{host}: {error}")) from error
        except OSError as error:
            raise NoConnection(Failure(ErrorCode.TLS_ERROR, f"{host}: {error}", retryable=True)) from error
        return handler


class _Handler(ResponseHandler):
    """One connection, with two rules that aiohttp has not."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._answered = False
        self._informational = 0

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """The next response head. aiohttp asks again after each informational one."""
        try:
            message, payload = await super().read()
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if self._answered:
                raise
            # A kept-alive connection may die between two requests, and aiohttp rightly repeats the second. A new
            # one that dies was our request's fault; repeating it would hit the origin twice.
            raise NoConnection(
                Failure(ErrorCode.PROTOCOL_ERROR, f"closed before an answer: {error}", retryable=True)
            ) from error
        if message.code >= 200:
            self._answered = True
            self._informational = 0
        else:
            self._informational += 1
            if self._informational > _MAX_INFORMATIONAL:
                raise NoConnection(Failure(ErrorCode.PROTOCOL_ERROR, "too many informational responses"))
        return message, payload
