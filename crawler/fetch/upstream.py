"""A proxy of the operator between us and the network: every connection becomes a CONNECT tunnel through it."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from crawler.errors import ConfigurationError

_MAX_HEAD_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the upstream proxy listens, and the `Proxy-Authorization` value it wants, if any."""

    host: str
    port: int
    authorization: str = ""


def parse(url: str) -> Proxy:
    """Read `http://[user:password@]host:port`. Raises ConfigurationError for anything else."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or not parts.hostname or not port:
        raise ConfigurationError("CRAWL_EGRESS_UPSTREAM_PROXY: give it as http://host:port")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode("ascii")
    return Proxy(parts.hostname, port, authorization)


async def tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A socket to `host` through the proxy (RFC 9110, 9.3.6). Raises OSError when the proxy is away or says no."""
    loop = asyncio.get_running_loop()
    [(family, kind, protocol, _, address), *_] = await loop.getaddrinfo(
        proxy.host, proxy.port, type=socket.SOCK_STREAM
    )
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    try:
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, _request(proxy, host, port))
        status = await _read_status(loop, sock)
        if not 200 <= status < 300:
            msg = f"it answered {status}"
            raise ConnectionRefusedError(msg)
    except BaseException:
        sock.close()
        raise
    return sock


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _read_status(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> int:
    """The status of the answer. Nothing may follow its head: the target of an HTTP or TLS tunnel never speaks first."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = await loop.sock_recv(sock, 4096)
        if not data or len(head) + len(data) > _MAX_HEAD_BYTES:
            raise ConnectionResetError("it closed the connection or talked too much")
        head += data
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise ConnectionResetError("it does not speak HTTP/1")
    return int(rest[:3])
