"""Connections to origins that wait for another request of the same crawl. Their address was judged at the dial."""

from __future__ import annotations

import asyncio

from crawler.fetch.forwarding import Stream

#: Shorter than origins keep a connection (Node.js: 5 s), so that few of them die in our hands.
_IDLE_SECONDS = 4.0
#: Of all origins together; a page may name any number of them.
_MAX_IDLE = 16


class IdleConnections:
    """Streams by host and port. A stream that is given here is not the giver's any more."""

    def __init__(self) -> None:
        #: With what will close them; the one that was kept last is at the end.
        self._streams: list[tuple[tuple[str, int], Stream, asyncio.TimerHandle]] = []

    def take(self, host: str, port: int) -> Stream | None:
        """The one of this host and port that was used last, if there is one that is still open."""
        for entry in self._streams[::-1]:
            origin, stream, closing = entry
            if origin == (host, port):
                self._streams.remove(entry)
                if _is_open(stream):
                    closing.cancel()
                    return stream
                _close(stream, closing)
        return None

    def keep(self, host: str, port: int, stream: Stream) -> None:
        """Keep a stream for some seconds; instead of the oldest if there are too many."""
        closing = asyncio.get_running_loop().call_later(_IDLE_SECONDS, stream.writer.transport.abort)
        self._streams.append(((host, port), stream, closing))
        while len(self._streams) > _MAX_IDLE:
            _close(*self._streams.pop(0)[1:])

    def close(self) -> None:
        """Close all of them."""
        for _, stream, closing in self._streams:
            _close(stream, closing)
        self._streams.clear()


def _is_open(stream: Stream) -> bool:
    reader, writer = stream
    return not (reader.at_eof() or reader.exception() or writer.is_closing())


def _close(stream: Stream, closing: asyncio.TimerHandle) -> None:
    closing.cancel()
    stream.writer.transport.abort()
