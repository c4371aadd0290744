"""Readers that do not take their answers (X48): memory stays bounded, others are served, no place is held for ever."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from api.sending import Outbox
from crawler.errors import Unavailable
from crawler.settings import Settings
from tests.api.server import TOKEN, Server, serving, settings
from tests.cli.process import read_until
from tests.cli.serving import server_process
from tests.engine.origin import NOT_FOUND, answer, serve
from tests.fetch.origins import PUBLIC

READERS = 500
PAGES = 12
#: Of one page, of which half is left when it is compressed: an answer has ten megabytes.
PAGE_BYTES = 800_000
ROOM_BYTES = 64 << 20
#: What the process may take for five hundred connections and their buffers, besides the room for answers.
REST_BYTES = 100 << 20
SECONDS = 20
VARIABLES = {
    "CRAWL_RATE_LIMIT_PER_SECOND": "0",
    "CRAWL_DEFAULT_DELAY": "0",
    "CRAWL_ANSWER_MEMORY_BYTES": str(ROOM_BYTES),
    "CRAWL_ANSWER_SECONDS": str(SECONDS),
}


class Reader:
    """A connection that has asked for everything and takes a kilobyte now and then."""

    def __init__(self, server: Server, path: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        self._server = server
        self._path = path
        self.taken = b""

    async def ask(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._server.port))
        head = (
            f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Connection: close\r\n\r\n"
        )
        await loop.sock_sendall(self._socket, head.encode())
        self.taken = await loop.sock_recv(self._socket, 1024)

    @property
    def status(self) -> int:
        return int(self.taken.split(b" ", 2)[1])

    def sip(self) -> None:
        """Take a kilobyte if there is one."""
        with suppress(OSError):
            self.taken += self._socket.recv(1024)

    async def drain(self) -> int:
        """Take all that is still to come. Returns how many bytes that made together."""
        loop = asyncio.get_running_loop()
        size = len(self.taken)
        with suppress(ConnectionError):
            while taken := await loop.sock_recv(self._socket, 1 << 20):
                size += len(taken)
        return size

    def close(self) -> None:
        self._socket.close()


@contextmanager
def readers(server: Server, path: str) -> Iterator[list[Reader]]:
    """Readers that have asked for nothing yet."""
    some = [Reader(server, path) for _ in range(READERS)]
    try:
        yield some
    finally:
        for reader in some:
            reader.close()


def memory_of(process: asyncio.subprocess.Process) -> int:
    """Bytes of memory that the process has."""
    return int(psutil.Process(process.pid).memory_info().rss)


async def crawled(server: Server, origin_url: str) -> str:
    """A crawl that has ended, with an answer of ten megabytes."""
    ended = await server.crawl(url=origin_url, source="links", limit=PAGES + 1, formats=["html"])
    assert ended["finished"] == PAGES + 1
    return str(ended["id"])


async def test_x48_five_hundred_slow_readers(tmp_path: Path) -> None:
    text = {f"/{number}": os.urandom(PAGE_BYTES // 2).hex() for number in range(PAGES)}
    links = "".join(f'<a href="{path}">x</a>' for path in text)
    pages = {"/robots.txt": NOT_FOUND, "/": answer(links)} | {
        path: answer(f"<p>{body}") for path, body in text.items()
    }
    async with (
        serve(lambda path: pages.get(path, NOT_FOUND), PUBLIC) as origin,
        server_process(tmp_path, VARIABLES) as (server, process),
    ):
        crawl_id = await crawled(server, origin.url(host=PUBLIC))
        whole = await server.read(crawl_id)
        assert len(json.dumps(whole)) > 9_000_000
        before = memory_of(process)
        most = 0
        path = f"{server.base.removeprefix(server.origin)}/{crawl_id}"
        with readers(server, path) as slow:
            for start in range(0, READERS, 50):
                await asyncio.gather(*(reader.ask() for reader in slow[start : start + 50]))
                most = max(most, memory_of(process))
            held = [reader for reader in slow if reader.status == 200]
            refused = [reader for reader in slow if reader.status == 503]
            assert len(held) + len(refused) == READERS
            # An answer takes six megabytes of room, and nobody is refused while there is some. On a slow machine the
            # first have been cut off by now, and others have had their room.
            assert len(held) >= 8
            assert len(refused) > READERS / 2
            assert all(b"retry-after: 5" in reader.taken.lower() for reader in refused)
            # Everything else goes on: crawls are accepted, and their progress is shown.
            for number in range(20):
                began = time.monotonic()
                body = {"url": origin.url(f"/{number}", host=PUBLIC), "render": False, "source": "links"}
                accepted = await server.post({**body, "limit": 1})
                assert accepted.status_code == 200
                assert (await server.read(accepted.json()["result"], "?limit=0"))["total"] == 1
                assert time.monotonic() - began < 5
                for reader in held:
                    reader.sip()
                most = max(most, memory_of(process))
            assert most - before < ROOM_BYTES + REST_BYTES, f"{most - before:,} bytes"
            # They are cut off in the end, although they take a little all the time, and their room is free again.
            async with asyncio.timeout(SECONDS * 2):
                while (again := await server.request("GET", f"/{crawl_id}")).status_code == 503:
                    for reader in held:
                        reader.sip()
                    await asyncio.sleep(0.05)
            assert again.json()["result"] == whole
            for _ in held:
                await read_until(process.stderr, "was cut off")
            # What the kernel has taken for them they still get.
            async with asyncio.timeout(SECONDS):
                ends = [await reader.drain() for reader in held]
            assert all(size < len(again.content) for size in ends)


async def test_x48_an_answer_that_is_larger_than_the_room(tmp_path: Path) -> None:
    """It has it for itself."""
    body = os.urandom(1 << 20).hex()
    pages = {"/robots.txt": NOT_FOUND, "/": answer(f"<p>{body}")}
    async with (
        serve(lambda path: pages.get(path, NOT_FOUND), PUBLIC) as origin,
        serving(settings(tmp_path, answer_memory_bytes=1 << 20)) as server,
    ):
        (record,) = (await server.crawl(url=origin.url(host=PUBLIC), source="links", formats=["html"]))[
            "records"
        ]
        assert body in record["html"]


async def test_other_long_answers_are_sent_in_pieces_too(tmp_path: Path) -> None:
    links = "".join(f'<a href="/{number}/{"x" * 1_900}">x</a>' for number in range(40))
    async with (
        serve(lambda path: NOT_FOUND if path == "/robots.txt" else answer(links), PUBLIC) as origin,
        serving(settings(tmp_path)) as server,
    ):
        ended = await server.crawl(url=origin.url(host=PUBLIC), source="links", limit=41)
        changes = await server.request("GET", f"/{ended['id']}/changes")
    assert len(changes.json()["result"]["pages"]) == ended["finished"] == 41
    assert changes.headers["transfer-encoding"] == "chunked"
    assert changes.headers["cache-control"] == "no-store"


def test_room_for_answers_comes_back() -> None:
    outbox = Outbox(Settings.load(answer_memory_bytes=1 << 20))
    with outbox.hold(1 << 19), outbox.hold(1 << 19), pytest.raises(Unavailable, match="slow"), outbox.hold(1):
        pass
    with outbox.hold(1 << 20):
        pass
