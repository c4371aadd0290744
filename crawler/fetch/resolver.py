"""Names to addresses: the operator's static table, then the system's resolver. The egress rules judge the answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Protocol

from crawler.fetch.addresses import Address

#: A name server that does not answer holds its thread for as long as libc waits, some ten seconds. So many of them may
#: hang before lookups of other names have to queue.
_THREADS = 64


class Resolver(Protocol):
    """Answers for one normal host name: every address of it, none for a name that does not exist.

    Raises OSError when the question could not be answered.
    """

    async def resolve(self, name: str) -> tuple[Address, ...]: ...

    def close(self) -> None: ...


class SystemResolver:
    """`getaddrinfo` on a bounded pool of threads, so that a slow name server never stops the event loop."""

    def __init__(self, *, local_names: frozenset[str] = frozenset()) -> None:
        """`local_names` are asked as they stand, so that the machine's hosts file counts for them."""
        self._local_names = local_names | {"localhost"}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")

    async def resolve(self, name: str) -> tuple[Address, ...]:
        """Ask for the absolute name: with a search list `redis.a` would find `redis.a.corp.example`."""
        loop = asyncio.get_running_loop()
        question = name if name in self._local_names else f"{name}."
        try:
            found = await loop.run_in_executor(self._threads, _getaddrinfo, question)
        except socket.gaierror as error:
            if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                return ()
            raise
        except UnicodeError:
            # The IDNA codec refuses labels that no server could have.
            return ()
        return tuple(dict.fromkeys(found))

    def close(self) -> None:
        """Let the threads end; lookups that wait for one are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class HostTable:
    """Static names like curl's `--resolve`; every other name is asked of `otherwise`."""

    def __init__(self, names: Mapping[str, tuple[Address, ...]], otherwise: Resolver) -> None:
        self._names = names
        self._otherwise = otherwise

    async def resolve(self, name: str) -> tuple[Address, ...]:
        """The addresses of the table, without I/O, or those of the other resolver."""
        if name in self._names:
            return self._names[name]
        return await self._otherwise.resolve(name)

    def close(self) -> None:
        """Close the other resolver."""
        self._otherwise.close()


def _getaddrinfo(name: str) -> list[Address]:
    answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in answers]
