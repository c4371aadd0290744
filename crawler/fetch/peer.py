"""Whose process is at the other end of a loopback connection."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys

# linux/inet_diag.h and linux/sock_diag.h; Python has no names for them.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = (0xFFFFFFFF, 0xFFFFFFFF)
_NETLINK_HEADER = struct.Struct("=IHHII")
_REQUEST_HEADER = struct.Struct("=BBBxI")
_PORTS_AND_ADDRESSES = struct.Struct("!HH4s12x4s12x")
_INTERFACE_AND_COOKIE = struct.Struct("=I2I")
#: Into the answer: its header, four small fields, the socket's id of 48 bytes, and three counters.
_UID_OFFSET = _NETLINK_HEADER.size + 4 + 48 + 12


def is_same_user(transport: asyncio.BaseTransport) -> bool:
    """Whether the process at the other end runs as our user. True where the system does not tell (not Linux)."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        uid = _owner(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
    except OSError:
        return True
    return uid is None or uid == os.getuid()


def _owner(local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The user of the IPv4 socket with these ends, asked of the kernel: some 50 microseconds."""
    ends = _PORTS_AND_ADDRESSES.pack(
        local[1], remote[1], socket.inet_aton(local[0]), socket.inet_aton(remote[0])
    )
    question = _REQUEST_HEADER.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY_STATE)
    question += ends + _INTERFACE_AND_COOKIE.pack(0, *_NO_COOKIE)
    header = _NETLINK_HEADER.pack(
        _NETLINK_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(0.1)
        kernel.send(header + question)
        told = kernel.recv(1024)
    if len(told) < _UID_OFFSET + 4 or _NETLINK_HEADER.unpack_from(told)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    uid: int = struct.unpack_from("=I", told, _UID_OFFSET)[0]
    return uid
