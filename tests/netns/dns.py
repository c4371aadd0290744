"""A name server on 127.0.0.1:53, for a network namespace: CNAME chains and failures as only a real one gives them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import cast

#: What a name is: an address, another name, a loop, or "fail" for SERVFAIL.
ZONE = {
    "good.public.test": "93.184.216.34",
    "chain.public.test": "good.public.test",
    "inside.public.test": "10.0.0.5",
    "to-inside.public.test": "inside.public.test",
    "loop0.public.test": "loop1.public.test",
    "fail.public.test": "fail",
    "missing.public.test": "",
    # With a search list this would become redis.a.corp.test.
    "redis.a": "",
}
_RECORDS = ZONE | {f"loop{n}.public.test": f"loop{(n + 1) % 17}.public.test" for n in range(17)}
_RECORDS |= {"redis.a.corp.test": "10.0.0.5"}


@asynccontextmanager
async def serving() -> AsyncIterator[set[str]]:
    """Answer questions; yields the names that were asked for."""
    asked: set[str] = set()

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(_answer(data, asked), addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 53))
    try:
        yield asked
    finally:
        transport.close()


def _answer(query: bytes, asked: set[str]) -> bytes:
    """RFC 1035, 4: the question again, then the chain of CNAMEs and the address, A records only."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    kind = struct.unpack_from("!H", query, at + 1)[0]
    question = query[12 : at + 5]
    name = ".".join(labels)
    asked.add(name)
    records: list[bytes] = []
    code = 0
    for _ in range(17):
        value = _RECORDS.get(name)
        if not value:
            code = 3
        elif value == "fail":
            code = 2
        elif value[0].isdigit():
            if kind == 1:
                records.append(_record(name, 1, IPv4Address(value).packed))
        else:
            records.append(_record(name, 5, _name(value)))
            name = value
            continue
        break
    head = struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
    return query[:2] + head + question + b"".join(records)


def _record(name: str, kind: int, data: bytes) -> bytes:
    return _name(name) + struct.pack("!HHIH", kind, 1, 0, len(data)) + data


def _name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split(".")) + b"\0"
