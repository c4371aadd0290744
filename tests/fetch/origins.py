"""Small real origins that answer with exactly the bytes a test gives, a canary, and names that change their mind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address

from crawler.fetch.addresses import Address
from crawler.fetch.egress import Egress
from crawler.fetch.http import HttpFetcher
from crawler.settings import Settings

#: Two hosts of the test's internet; everything else of 127.0.0.0/8 is private to it.
PUBLIC, PUBLIC_TOO = "127.0.0.2", "127.0.0.4"
PRIVATE = ("127.0.0.1", "127.0.0.3", "127.0.0.5", "::1")

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Route = bytes | Script | Sequence[bytes]


def page(body: bytes = b"<p>hello", *headers: str, status: str = "200 OK") -> bytes:
    """A well-formed answer."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def redirect(to: str, status: str = "302 Found", *headers: str) -> bytes:
    """A redirect without a body."""
    return page(b"", f"Location: {to}", *headers, status=status)


@dataclass
class Origin:
    """Routes by path; a sequence of answers is given one per request. `heads` are the requests as they came."""

    host: str
    routes: dict[str, Route] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    keep_alive: bool = False

    def url(self, path: str = "/", host: str | None = None) -> str:
        return f"http://{host or self.host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [head.split(b" ", 2)[1].decode() for head in self.heads]

    def header(self, name: str) -> list[str | None]:
        """The value of one header in each request."""
        return [_header(head, name) for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                path = head.split(b" ", 2)[1].decode()
                route = self.routes.get(path) or self.routes.get("*") or page(b"no", status="404 Not Found")
                if callable(route):
                    await route(reader, writer)
                else:
                    writer.write(
                        route
                        if isinstance(route, bytes)
                        else route[min(self.paths.count(path), len(route)) - 1]
                    )
                    await writer.drain()
                if not self.keep_alive:
                    break
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _header(head: bytes, name: str) -> str | None:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return None


@asynccontextmanager
async def origin(host: str = PUBLIC, **routes: Route) -> AsyncIterator[Origin]:
    """An origin on a free port of `host`. It is gone, with its connections, at the end."""
    running = Origin(host, dict(routes))
    async with serving(running.serve, host) as port:
        running.port = port
        yield running


@asynccontextmanager
async def serving(script: Script, host: str, port: int = 0) -> AsyncIterator[int]:
    """Run `script` for each connection; yields the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await script(reader, writer)
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(one, host, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def upstream(status: bytes, heads: list[bytes]) -> AsyncIterator[int]:
    """A proxy that sends every tunnel to the named port of the public host, or answers with another status."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(status + b"\r\n\r\n")
        await writer.drain()
        if not status.startswith(b"HTTP/1.1 200"):
            return
        port = int(heads[-1].split(b" ")[1].rpartition(b":")[2])
        far_reader, far_writer = await asyncio.open_connection(PUBLIC, port)
        far_writer.write(await reader.readuntil(b"\r\n\r\n"))
        writer.write(await far_reader.read(65536))
        await writer.drain()
        far_writer.close()
        await far_writer.wait_closed()

    async with serving(serve, "127.0.0.1") as port:
        yield port


@dataclass
class Canary:
    """Listens where nobody may go. `hits` are the first bytes of whoever came."""

    port: int
    hits: list[bytes] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits.append(b"connected")
        self.hits.append(await reader.read(200))
        self._came.set()
        writer.write(page(b"CANARY"))
        await writer.drain()

    async def seen(self) -> None:
        """Wait until somebody has come and gone: only for tests in which that must happen."""
        await asyncio.wait_for(self._came.wait(), 10)


@asynccontextmanager
async def canary_on_private() -> AsyncIterator[Canary]:
    """A canary on every forbidden address, at a port that the rules allow and that nobody else has."""
    for port in random.sample(range(8000, 9000), 50):
        canary = Canary(port)
        async with AsyncExitStack() as listeners:
            try:
                for address in PRIVATE:
                    await listeners.enter_async_context(serving(canary.serve, address, port))
            except OSError:
                continue
            yield canary
            return
    raise AssertionError("no port is free on all canary addresses")


class Answers:
    """A resolver whose answers are written down: for each name one answer per question, the last for ever.

    A question without an answer (None) hangs.
    """

    def __init__(self, names: Mapping[str, Sequence[Sequence[str] | None]]) -> None:
        self.names = dict(names)
        self.questions: list[str] = []

    async def resolve(self, name: str) -> tuple[Address, ...]:
        self.questions.append(name)
        answers = self.names.get(name, [[]])
        answer = answers[min(self.questions.count(name), len(answers)) - 1]
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        return tuple(ip_address(text) for text in answer)

    def close(self) -> None:
        pass


def policy(**settings: object) -> Settings:
    """Settings in which the two public hosts may be reached; other rules are those of production."""
    return Settings.load(**{"egress_allow_cidrs": (PUBLIC, PUBLIC_TOO)} | settings)


@asynccontextmanager
async def fetching(
    *,
    names: Mapping[str, Sequence[Sequence[str] | None]] | None = None,
    also_allow_host: str | None = None,
    **settings: object,
) -> AsyncIterator[HttpFetcher]:
    """A fetcher on an egress of its own."""
    chosen = policy(**settings)
    egress = Egress(
        chosen, resolver=None if names is None else Answers(names), also_allow_host=also_allow_host
    )
    try:
        async with HttpFetcher(egress, chosen) as fetcher:
            yield fetcher
    finally:
        egress.close()
