"""A TCP relay between two processes of a deployment: it can hold everything back, break, or lose one answer."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Self

_CHUNK = 65_536


class Relay:
    """`with Relay(port) as relay:` passes `relay.port` on to `port` of 127.0.0.1, in a thread of its own."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay")
        self._open = asyncio.Event()
        self._open.set()
        self._delay_seconds = 0.0
        self._commits_to_cut = 0
        self.commits_cut = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def hold(self) -> None:
        """From now on nothing passes, in either direction; connections stay, new ones are accepted."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def pass_on(self) -> None:
        """Pass what was held and everything to come, without delay."""
        self._delay_seconds = 0.0
        self._commits_to_cut = 0
        self._loop.call_soon_threadsafe(self._open.set)

    def delay(self, seconds: float) -> None:
        """Every piece takes so long, each way."""
        self._delay_seconds = seconds

    def cut_commits(self, number: int = 1) -> None:
        """The next COMMITs reach the database, their answers are lost and the connections break."""
        self._commits_to_cut = number

    def reset(self) -> None:
        """Break every connection, as a firewall that forgets them does."""
        self._call(self._reset())

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._open.set()
        await self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _reset(self) -> None:
        for writer in list(self._writers):
            _break(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(to_writer)
            losing = asyncio.Event()
            with suppress(OSError):
                await asyncio.gather(
                    self._copy_up(reader, to_writer, losing), self._copy_down(to_reader, writer, losing)
                )
            _break(to_writer)
            self._writers.discard(to_writer)
        _break(writer)
        self._writers.discard(writer)

    async def _copy_up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await self._next(reader):
            if self._commits_to_cut and b"COMMIT" in data:
                self._commits_to_cut -= 1
                self.commits_cut += 1
                losing.set()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _copy_down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event
    ) -> None:
        while data := await self._next(reader):
            if losing.is_set():
                raise ConnectionResetError  # the answer to COMMIT: it is done, and nobody will know
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(_CHUNK)
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        await self._open.wait()
        return data


def _break(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of a goodbye."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
