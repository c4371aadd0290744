"""A small scripted origin: every path answers as its handler says, and every request is noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[[str], Awaitable[bytes] | bytes]


@dataclass
class Origin:
    """A running origin. `paths` has what was asked, in order."""

    port: int = 0
    paths: list[str] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


def answer(body: str | bytes = "", *, status: str = "200 OK", **headers: str) -> bytes:
    """One complete HTTP response; header names are written with underscores."""
    content = body.encode() if isinstance(body, str) else body
    fields = {"content_type": "text/html", **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return (
        f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
        + content
    )


NOT_FOUND = answer("no", status="404 Not Found")


@asynccontextmanager
async def serve(handler: Handler, address: str = "127.0.0.1") -> AsyncIterator[Origin]:
    """Serve on a free port of a loopback address. An empty answer resets the connection."""
    origin = Origin()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            origin.paths.append(path)
            made = handler(path)
            content = made if isinstance(made, bytes) else await made
            if content:
                writer.write(content)
                await writer.drain()
            else:
                writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, address, 0)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
