"""Proof, at each start of a browser, that nothing leaves it except through a proxy.

Switches change their names between versions of Chromium, and the last one wins where two lists meet: so they are not
believed but tried. A page tries every way out that browsers are known to have; listeners on this machine count.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from playwright.async_api import Browser, Error

from crawler.fetch.chromium import PROXY_EVERYTHING

_SECONDS = 10.0
#: Datagrams need no handshake, so give the last of them a moment to arrive.
_GRACE_SECONDS = 0.05
_PAGE = """
async ([port, udp]) => {
  const soon = (promise) => Promise.race([promise.catch(() => 0), new Promise((done) => setTimeout(done, 400))]);
  const hosts = ["127.0.0.1", "localhost", "[::1]"];
  const sockets = hosts.map((host) => new Promise((done) => {
    const socket = new WebSocket(`ws://${host}:${port}/`);
    socket.onopen = socket.onerror = done;
  }));
  const frame = document.createElement("iframe");
  frame.src = `http://127.0.0.1:${port}/frame`;
  document.body.append(frame);
  const calls = new RTCPeerConnection({ iceServers: [
    { urls: `stun:127.0.0.1:${udp}` },
    { urls: `turn:127.0.0.1:${udp}?transport=udp`, username: "u", credential: "p" },
    { urls: `turn:127.0.0.1:${port}?transport=tcp`, username: "u", credential: "p" },
  ] });
  calls.createDataChannel("canary");
  const gathered = new Promise((done) => {
    calls.onicegatheringstatechange = () => calls.iceGatheringState === "complete" && done();
  });
  await calls.setLocalDescription(await calls.createOffer());
  const transport = async () => {
    if (typeof WebTransport === "function") await new WebTransport(`https://127.0.0.1:${udp}/`).ready;
  };
  await Promise.all([
    ...hosts.map((host) => soon(fetch(`http://${host}:${port}/fetch`, { mode: "no-cors" }))),
    ...sockets.map(soon), soon(gathered), soon(transport()),
  ]);
}
"""


async def find_leak(browser: Browser) -> str | None:
    """Try to leave the browser without its proxy. None when that is impossible, else what got through.

    Takes about half a second. Raises Playwright's Error or TimeoutError when the browser does not work at all.
    """
    hits: list[str] = []
    async with asyncio.timeout(_SECONDS), _canaries(hits) as (tcp, udp), _proxy() as (proxy_port, asked):
        context = await browser.new_context(
            proxy={"server": f"http://127.0.0.1:{proxy_port}", "bypass": PROXY_EVERYTHING}
        )
        try:
            page = await context.new_page()
            # A secure origin, so that the page may use everything; only the proxy can answer it.
            await page.goto(f"http://localhost:{tcp}/")
            await page.evaluate(_PAGE, [tcp, udp])
            await asyncio.sleep(_GRACE_SECONDS)
        finally:
            await context.close()
        if not asked:
            # Without this the test would also pass in a browser whose pages do not run.
            return "the page of the self-test asked for nothing"
        without_proxy = await browser.new_context()
        try:
            page = await without_proxy.new_page()
            with suppress(Error):
                await page.goto(f"http://127.0.0.1:{tcp}/")
        finally:
            await without_proxy.close()
    return f"the browser went round its proxy: {', '.join(sorted(set(hits)))}" if hits else None


@asynccontextmanager
async def _canaries(hits: list[str]) -> AsyncIterator[tuple[int, int]]:
    """Listeners that nobody may reach; yields a TCP port on 127.0.0.1 and ::1, and a UDP port."""

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits.append("TCP")
        writer.transport.abort()

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            hits.append("UDP")

    loop = asyncio.get_running_loop()
    servers = [await asyncio.start_server(connected, "127.0.0.1", 0)]
    tcp = servers[0].sockets[0].getsockname()[1]
    # No IPv6 on this machine, or the port is taken there? 127.0.0.1 tells as much.
    with suppress(OSError):
        servers.append(await asyncio.start_server(connected, "::1", tcp))
    transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    try:
        yield tcp, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        for server in servers:
            server.close()


@asynccontextmanager
async def _proxy() -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy that has one page and refuses all else; yields its port and what it was asked for besides."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = (await reader.readuntil(b"\r\n")).decode("latin-1")
            await reader.readuntil(b"\r\n\r\n")
            if line.startswith("GET http://localhost") and line.endswith("/ HTTP/1.1\r\n"):
                body = b"<!DOCTYPE html><title>self-test</title><body>"
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
            else:
                asked.append(line)
                body, head = b"", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
