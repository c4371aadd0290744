"""Static fetches: one URL and its redirects, bounded in time, bytes and hops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace, TracebackType
from typing import Self
from urllib.parse import quote

import aiohttp
from aiohttp import hdrs
from yarl import URL

from crawler import urls
from crawler.fetch.connector import EgressConnector, NoConnection
from crawler.fetch.decoding import ACCEPT_ENCODING, decode
from crawler.fetch.egress import Egress
from crawler.model import ErrorCode, Failure, Refusal, Response
from crawler.settings import Settings

Headers = Mapping[str, str]
#: Judges status and headers of the final answer; a Failure ends the fetch before the body is read.
Accept = Callable[[int, Headers], Failure | None]
#: Asked with (from, to) before each hop, so that robots.txt and politeness of the target count.
OnRedirect = Callable[[str, str], Awaitable[Refusal | Failure | None]]
#: Awaited when there is a connection and the request would leave: what waits here is not late for having connected.
BeforeSend = Callable[[], Awaitable[None]]

_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
#: Fetch standard, redirect status. 300 and 304 are answers of their own.
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HEADER_LINES = 200
_MAX_HEADER_LINE_BYTES = 16 * 1024
_MAX_HEADER_BYTES = 64 * 1024
#: Above this, decoding takes milliseconds and leaves the event loop.
_DECODE_INLINE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Redirect:
    to_url: str


@dataclass(frozen=True, slots=True)
class _Caps:
    max_bytes: int
    truncate: bool
    accept: Accept | None


class _Stopwatch:
    """Time for one hop. It stands still while `before_send` waits, which is not the origin's doing."""

    def __init__(self, seconds: float, before_send: BeforeSend | None) -> None:
        self._before_send = before_send
        self._ends_at = asyncio.get_running_loop().time() + seconds
        self.timeout = asyncio.timeout_at(self._ends_at)

    @property
    def seconds_left(self) -> float:
        return self._ends_at - asyncio.get_running_loop().time()

    async def wait_to_send(self) -> None:
        """Wait until the request may leave. Also asked when aiohttp repeats one whose connection had gone away."""
        if self._before_send is None:
            return
        left = self.seconds_left
        self.timeout.reschedule(None)
        await self._before_send()
        self._ends_at = asyncio.get_running_loop().time() + left
        self.timeout.reschedule(self._ends_at)


class HttpFetcher:
    """GETs pages over pooled connections, all opened by one `Egress`. Use as an async context manager."""

    def __init__(
        self, egress: Egress, settings: Settings, *, on_sent: Callable[[str], None] | None = None
    ) -> None:
        """`on_sent` is called with the host whenever a request has left."""
        self._on_sent = on_sent
        self._egress = egress
        self._settings = settings

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=EgressConnector(self._egress, self._settings),
            headers={
                hdrs.USER_AGENT: self._settings.user_agent,
                hdrs.ACCEPT: _ACCEPT,
                hdrs.ACCEPT_ENCODING: ACCEPT_ENCODING,
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[_tracing(self._on_sent)],
            timeout=aiohttp.ClientTimeout(total=None, sock_read=self._settings.first_byte_timeout_seconds),
            max_line_size=_MAX_HEADER_LINE_BYTES,
            max_field_size=_MAX_HEADER_LINE_BYTES,
            max_headers=_MAX_HEADER_LINES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(
        self,
        url: str,
        *,
        headers: Headers | None = None,
        max_bytes: int | None = None,
        timeout_seconds: float | None = None,
        max_redirects: int | None = None,
        truncate: bool = False,
        accept: Accept | None = None,
        on_redirect: OnRedirect | None = None,
        before_send: BeforeSend | None = None,
    ) -> Response | Failure | Refusal:
        """Fetch one serialised http(s) URL; limits that are not given come from the settings.

        `headers` go to the origin of `url` only. `max_bytes` holds on the wire and decoded; with `truncate` what is
        beyond is dropped instead of failing. `timeout_seconds` covers all hops, but not the time that `on_redirect`
        and `before_send` take; the latter is for the first hop. Cookies set on the way are kept for this fetch only.
        """
        settings = self._settings
        caps = _Caps(max_bytes or settings.max_document_bytes, truncate, accept)
        hops_left = settings.max_redirects if max_redirects is None else max_redirects
        seconds_left = total = timeout_seconds or settings.fetch_timeout_seconds
        jar: aiohttp.CookieJar | None = None
        own_origin, passed = urls.origin_of(url), list[str]()
        while True:
            stopwatch = _Stopwatch(seconds_left, None if passed else before_send)
            try:
                async with stopwatch.timeout:
                    request = self._headers(url, jar, headers if urls.origin_of(url) == own_origin else None)
                    answer, set_cookies = await self._get(url, request, caps, stopwatch)
            except (NoConnection, aiohttp.ClientError, TimeoutError, OSError) as error:
                return _failure(error)
            seconds_left = stopwatch.seconds_left
            if set_cookies:
                jar = aiohttp.CookieJar() if jar is None else jar
                jar.update_cookies_from_headers(set_cookies, URL(url, encoded=True))
            if isinstance(answer, Response):
                return replace(answer, redirects=tuple(passed), elapsed_seconds=total - seconds_left)
            if isinstance(answer, Failure):
                return answer
            if hops_left == 0:
                return Failure(
                    ErrorCode.TOO_MANY_REDIRECTS, f"{len(passed) + 1} redirects, the last to {answer.to_url}"
                )
            refusal = await on_redirect(url, answer.to_url) if on_redirect is not None else None
            if refusal is not None:
                return refusal
            hops_left -= 1
            passed.append(url)
            url = answer.to_url

    def _headers(self, url: str, jar: aiohttp.CookieJar | None, own: Headers | None) -> dict[str, str]:
        headers = dict(own or {})
        found = jar.filter_cookies(URL(url, encoded=True)) if jar is not None else None
        if found and hdrs.COOKIE not in headers:
            headers[hdrs.COOKIE] = "; ".join(
                f"{cookie.key}={cookie.coded_value}" for cookie in found.values()
            )
        return headers

    async def _get(
        self, url: str, headers: Headers, caps: _Caps, stopwatch: _Stopwatch
    ) -> tuple[Response | Failure | _Redirect, list[str]]:
        """One hop, and its Set-Cookie lines. Raises what aiohttp raises."""
        reply = await self._session.get(
            URL(url, encoded=True),
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=stopwatch,
        )
        try:
            set_cookies = reply.headers.getall(hdrs.SET_COOKIE, [])
            if not 200 <= reply.status < 1000:
                return Failure(ErrorCode.PROTOCOL_ERROR, f"status {reply.status}"), []
            if sum(len(name) + len(value) for name, value in reply.raw_headers) > _MAX_HEADER_BYTES:
                return Failure(ErrorCode.PROTOCOL_ERROR, "too many bytes of headers"), []
            if reply.status in _REDIRECTS and hdrs.LOCATION in reply.headers:
                target = self._target(url, reply.headers.getall(hdrs.LOCATION))
                # The body is nobody's business: the connection goes back if it has come along already, else away.
                reply.release()
                return target, set_cookies
            return await _read(url, reply, caps), set_cookies
        finally:
            reply.close()

    def _target(self, url: str, locations: list[str]) -> _Redirect | Failure:
        """Where a redirect leads (RFC 9110, 10.2.2). Bytes beyond ASCII are taken as they came."""
        location = quote(locations[0].encode("utf-8", "surrogateescape"), safe=_ASCII).strip()
        target = urls.resolve(url, location, max_chars=self._settings.max_url_chars) if location else None
        if target is None or len(set(locations)) > 1:
            return Failure(ErrorCode.BAD_REDIRECT, f"Location {location[:200]!r}")
        return _Redirect(target)


_ASCII = bytes(range(128)).decode("ascii")


def _tracing(on_sent: Callable[[str], None] | None) -> aiohttp.TraceConfig:
    async def connected(_session: object, context: SimpleNamespace, _parameters: object) -> None:
        stopwatch: _Stopwatch = context.trace_request_ctx
        await stopwatch.wait_to_send()

    async def sent(
        _session: object, _context: object, request: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if on_sent is not None:
            on_sent(urls.host_of(str(request.url)))

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(connected)
    tracing.on_connection_reuseconn.append(connected)
    tracing.on_request_headers_sent.append(sent)
    return tracing


async def _read(url: str, reply: aiohttp.ClientResponse, caps: _Caps) -> Response | Failure:
    headers = _plain(reply)
    refused = caps.accept(reply.status, headers) if caps.accept is not None else None
    if refused is not None:
        return refused
    body, is_whole = await _read_body(reply, caps.max_bytes)
    if not is_whole and not caps.truncate:
        return Failure(ErrorCode.TOO_LARGE, f"more than {caps.max_bytes} bytes")
    encoding = headers.get("content-encoding", "")
    if encoding and len(body) > _DECODE_INLINE_BYTES:
        decoded = await asyncio.to_thread(
            decode, body, encoding, limit=caps.max_bytes, truncate=caps.truncate
        )
    else:
        decoded = decode(body, encoding, limit=caps.max_bytes, truncate=caps.truncate)
    if isinstance(decoded, Failure):
        return decoded
    return Response(url, reply.status, headers, decoded, wire_bytes=len(body))


async def _read_body(reply: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes on the wire, and whether they are all."""
    pieces: list[bytes] = []
    size = 0
    while piece := await reply.content.readany():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return b"".join(pieces)[:limit], False
    return b"".join(pieces), True


def _plain(reply: aiohttp.ClientResponse) -> dict[str, str]:
    """Lower-case names, repeated fields joined (RFC 9110, 5.3), and text that can be stored."""
    plain: dict[str, str] = {}
    for name, value in reply.headers.items():
        key = name.lower()
        text = (
            value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        )
        plain[key] = f"{plain[key]}, {text}" if key in plain else text
    return plain


def _failure(error: Exception) -> Failure:
    """The one place that knows what aiohttp raises."""
    detail = f"{type(error).__name__}: {error}"[:500]
    match error:
        case NoConnection(failure=failure):
            return failure
        case TimeoutError():
            return Failure(ErrorCode.TIMEOUT, detail, retryable=True)
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            # The connection stood: `NoConnection` is what comes before.
            return Failure(ErrorCode.PROTOCOL_ERROR, detail, retryable=True)
        case aiohttp.ClientConnectionError() | OSError():
            return Failure(ErrorCode.CONNECT_FAILED, detail, retryable=True)
        case _:
            return Failure(ErrorCode.PROTOCOL_ERROR, detail)
