"""HTTP/1 between the browser and an origin: read one request strictly, say it anew, carry the answer back.

One request per connection of the browser. Bytes are never spliced after a plain request, or a browser that reuses
the connection would hand the next site's request to this one. Only a CONNECT tunnel carries bytes as they are. The
connection to the origin may serve another request to the same host and port.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import NamedTuple

import h11

from crawler import urls

_MAX_HEAD_BYTES = 64 * 1024
_MAX_INFORMATIONAL = 20
_CHUNK_BYTES = 64 * 1024
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:@/\[\]]+):([0-9]{1,5})", re.IGNORECASE)
#: RFC 9110, 7.6.1: meant for one connection. `transfer-encoding` is left to h11, which frames anew.
_HOP_BY_HOP = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"proxy-authorization",
     b"proxy-authenticate", b"host")
)  # fmt: skip

#: RFC 9110, 9.2.1: safe to send once more when a connection that has been idle turns out to be dead (RFC 9112, 9.3.1).
_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS"))

#: Counts bytes; False when no more may pass.
Spend = Callable[[int], bool]
_Headers = list[tuple[bytes, bytes]]


class Stream(NamedTuple):
    """The two halves of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(frozen=True, slots=True)
class BadRequest:
    """A request head that no browser sends."""

    reason: str


class NoAnswer(ConnectionError):
    """The origin has closed the connection before the first byte of an answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the browser asks for; its host is the one that the URL or the CONNECT target names."""

    host: str
    port: int
    #: From the browser's stream to the origin's and back; true if the latter can take another request. May be called
    #: once more, with another stream to the origin, after NoAnswer and if the request is repeatable.
    forward: Callable[[Stream, Stream, Spend], Awaitable[bool]] = field(repr=False)
    is_tunnel: bool = False
    #: Whether it does no harm to ask twice.
    is_repeatable: bool = False


async def read_request(reader: asyncio.StreamReader) -> Request | BadRequest:
    """Read one request head. Raises ConnectionResetError when the browser leaves in the middle of it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
    try:
        head = await _next_event(connection, reader)
    except h11.RemoteProtocolError as error:
        return BadRequest(str(error))
    if not isinstance(head, h11.Request):
        raise ConnectionResetError("left without a request")
    if _has_two_framings(head):
        return BadRequest("two framings")
    if head.method == b"CONNECT":
        return _tunnel(head, connection)
    has_body = any(name in (b"transfer-encoding", b"content-length") for name, _ in head.headers)
    return _plain(head, connection, has_body=has_body)


async def answer(writer: asyncio.StreamWriter, status: bytes) -> None:
    """Say no, and that the connection ends."""
    writer.write(b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    await _finish(writer)


def _tunnel(head: h11.Request, connection: h11.Connection) -> Request | BadRequest:
    target = _AUTHORITY.fullmatch(head.target.decode("latin-1"))
    if target is None:
        return BadRequest("CONNECT without host:port")

    async def forward(near: Stream, far: Stream, spend: Spend) -> bool:
        near.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        early, _ = connection.trailing_data
        if early and spend(len(early)):
            far.writer.write(early)
        await asyncio.gather(_copy(near.reader, far.writer, spend), _copy(far.reader, near.writer, spend))
        await asyncio.gather(_finish(near.writer), _finish(far.writer))
        return False

    return Request(target[1], int(target[2]), forward, is_tunnel=True)


def _plain(head: h11.Request, connection: h11.Connection, *, has_body: bool) -> Request | BadRequest:
    url = urls.parse(head.target.decode("latin-1"), max_chars=_MAX_HEAD_BYTES)
    if isinstance(url, urls.BadUrl) or url.scheme != "http":
        return BadRequest("not an absolute http URL")
    if not has_body:
        connection.next_event()  # its end; there is nothing to wait for

    async def forward(near: Stream, far: Stream, spend: Spend) -> bool:
        origin = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        host = url.origin.removeprefix("http://").encode("ascii")
        try:
            headers = [(b"Host", host), *_end_to_end(head.headers)]
            asked = (
                origin.send(h11.Request(method=head.method, target=url.path_query, headers=headers)) or b""
            )
            if not has_body:
                asked += origin.send(h11.EndOfMessage()) or b""
            try:
                await _write(far.writer, asked, spend)
            except (ConnectionResetError, BrokenPipeError) as error:
                raise NoAnswer(str(error)) from error
            await _first_of(
                _carry_answer(origin, far.reader, connection, near.writer, spend),
                _carry_request(connection, near.reader, origin, far.writer, spend, has_body=has_body),
            )
        except (h11.LocalProtocolError, h11.RemoteProtocolError) as error:
            # Half an answer is on its way perhaps: cut the connection, so that it cannot pass for a whole one.
            raise ConnectionAbortedError(str(error)) from error
        # Bytes that nobody asked for are no answer to the next request either.
        return origin.our_state is h11.DONE and origin.their_state is h11.DONE and not origin.trailing_data[0]

    return Request(url.host, url.port, forward, is_repeatable=head.method in _SAFE and not has_body)


async def _first_of(*works: Coroutine[None, None, None]) -> None:
    """Run these together until one has ended, with its exception if it has one."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _carry_request(
    source: h11.Connection,
    reader: asyncio.StreamReader,
    sink: h11.Connection,
    writer: asyncio.StreamWriter,
    spend: Spend,
    *,
    has_body: bool,
) -> None:
    """The request's body; then wait until the browser leaves. Without that, a request that it has given up would
    keep its connection to the origin, and its share of the budget, until the listener's deadline."""
    if has_body:
        await _carry(source, reader, sink, writer, spend)
    while await reader.read(_MAX_HEAD_BYTES):
        pass


async def _carry_answer(
    source: h11.Connection,
    reader: asyncio.StreamReader,
    sink: h11.Connection,
    writer: asyncio.StreamWriter,
    spend: Spend,
) -> None:
    try:
        first = await reader.read(_CHUNK_BYTES)
    except ConnectionError as error:
        raise NoAnswer(str(error)) from error
    if not first:
        raise NoAnswer("closed")
    source.receive_data(first)
    for _ in range(_MAX_INFORMATIONAL + 1):
        head = await _next_event(source, reader)
        if not isinstance(head, h11.InformationalResponse):
            break
    if not isinstance(head, h11.Response):
        raise ConnectionAbortedError("no final answer")
    if head.http_version not in (b"1.0", b"1.1") or _has_two_framings(head):
        raise ConnectionAbortedError("an answer that can be read in two ways")
    said = h11.Response(
        status_code=head.status_code,
        headers=[*_end_to_end(head.headers), (b"Connection", b"close")],
        reason=head.reason,
    )
    await _carry(source, reader, sink, writer, spend, said=sink.send(said) or b"")
    # This also ends a request body that the origin did not care for.
    await _finish(writer)


async def _carry(
    source: h11.Connection,
    reader: asyncio.StreamReader,
    sink: h11.Connection,
    writer: asyncio.StreamWriter,
    spend: Spend,
    *,
    said: bytes = b"",
) -> None:
    """The rest of a message, body and end. `said` is its head, which goes out with what has come of the body."""
    while True:
        event = source.next_event()
        if isinstance(event, h11.Data | h11.EndOfMessage):
            said += sink.send(event) or b""
        elif event is h11.NEED_DATA:
            await _write(writer, said, spend)
            said = b""
            source.receive_data(await reader.read(_CHUNK_BYTES))
        if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed) or event is h11.PAUSED:
            await _write(writer, said, spend)
            return


async def _write(writer: asyncio.StreamWriter, data: bytes, spend: Spend) -> None:
    if data:
        if not spend(len(data)):
            raise ConnectionAbortedError("budget is spent")
        writer.write(data)
        await writer.drain()


async def _next_event(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Event | None:
    """The next part of a message; None after its end."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Event):
            return event
        if event is h11.PAUSED:
            return None
        connection.receive_data(await reader.read(_CHUNK_BYTES))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spend: Spend) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        if not spend(len(data)):
            return
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _finish(writer: asyncio.StreamWriter) -> None:
    """Close after everything that was written has gone out."""
    writer.close()
    await writer.wait_closed()


def _has_two_framings(head: h11.Request | h11.Response) -> bool:
    """Content-Length next to Transfer-Encoding: who reads the one and who reads the other see two messages."""
    names = {name for name, _ in head.headers}
    return {b"transfer-encoding", b"content-length"} <= names


def _end_to_end(headers: h11._headers.Headers) -> _Headers:
    named = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    dropped = (_HOP_BY_HOP | named) - {b"transfer-encoding", b"content-length"}
    return [(raw, value) for raw, value in headers.raw_items() if raw.lower() not in dropped]
