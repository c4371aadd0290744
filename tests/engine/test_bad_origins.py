"""Origins that misbehave end as errored records with a code; the crawl always ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from crawler.model import CrawlStatus, UrlStatus
from tests.engine.conftest import Engines

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FAST = {"connect_timeout_seconds": 1.0, "fetch_timeout_seconds": 2.0, "first_byte_timeout_seconds": 1.0}


@asynccontextmanager
async def origin(handler: Handler) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answering(status: str, headers: str, body: bytes = b"") -> Handler:
    """robots.txt is not there; everything else is this answer."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith((b"GET /robots.txt", b"GET /sitemap.xml")):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            writer.write(f"HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n".encode() + body)
        await writer.drain()

    return handle


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith((b"GET /robots.txt", b"GET /sitemap.xml")):
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
    while True:
        writer.write(b"<p>more</p>" * 1000)
        await writer.drain()


async def only_record(engines: Engines, url: str, **settings: object) -> tuple[str, str]:
    async with engines(**FAST, **settings) as engine:
        view, records = await engine.crawl(url, limit=5)
    assert view.status is CrawlStatus.COMPLETED
    assert view.total == view.finished == 1
    record = records[url]
    return record.status, record.reason


async def test_f44_a_host_that_refuses_connections(engines: Engines) -> None:
    async with origin(answering("200 OK", "")) as port:
        pass
    url = f"http://127.0.0.1:{port}/"
    settings = {"egress_allowed_ports": (str(port),)}
    assert await only_record(engines, url, **settings) == (UrlStatus.ERRORED, "connect_failed")


async def test_a_name_that_does_not_exist(engines: Engines) -> None:
    assert await only_record(engines, "http://nowhere.invalid-zone.test/") == (
        UrlStatus.ERRORED,
        "dns_failure",
    )


async def test_a22_a_name_of_a_forbidden_address(engines: Engines) -> None:
    settings = {"egress_hosts": ("inside.test=127.0.0.3",)}
    assert await only_record(engines, "http://inside.test/", **settings) == (
        UrlStatus.ERRORED,
        "blocked_destination",
    )


async def test_a_host_that_does_not_speak_tls(engines: Engines) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with origin(plain) as port:
        url = f"https://127.0.0.1:{port}/"
        assert await only_record(engines, url) == (UrlStatus.ERRORED, "tls_error")


async def test_d1_a_body_that_never_ends(engines: Engines) -> None:
    async with origin(endless) as port:
        url = f"http://127.0.0.1:{port}/"
        settings = {"max_document_bytes": 100_000}
        assert await only_record(engines, url, **settings) == (UrlStatus.ERRORED, "too_large")


async def test_c2_headers_then_silence(engines: Engines) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith((b"GET /robots.txt", b"GET /sitemap.xml")):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 10\r\n\r\n")
        await reader.read()

    async with origin(silent) as port:
        url = f"http://127.0.0.1:{port}/"
        settings = {"max_attempts": 1}
        assert await only_record(engines, url, **settings) == (UrlStatus.ERRORED, "timeout")


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/pdf", b"%PDF-1.7", "bad_document"),
        ("video/mp4", b"x", "unsupported_content"),
        ("text/html", b"\x89PNG\r\n\x1a\n", "unsupported_content"),
        ("application/zip", b"PK\x03\x04", "download"),
    ],
)
async def test_c14_what_is_no_page(engines: Engines, content_type: str, body: bytes, reason: str) -> None:
    handler = answering("200 OK", f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n", body)
    async with origin(handler) as port:
        assert await only_record(engines, f"http://127.0.0.1:{port}/") == (UrlStatus.ERRORED, reason)


async def test_b14_a_busy_host_is_asked_three_times_then_given_up(engines: Engines) -> None:
    asked = 0
    busy = answering(
        "503 Service Unavailable",
        "Retry-After: 0\r\nContent-Type: text/html\r\nContent-Length: 4\r\n",
        b"busy",
    )

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await busy(reader, writer)

    async with origin(count) as port:
        url = f"http://127.0.0.1:{port}/"
        async with engines(**FAST) as engine:
            view, records = await engine.crawl(url, source="links")
    assert view.status is CrawlStatus.COMPLETED
    assert (records[url].status, records[url].http_status) == (UrlStatus.ERRORED, 503)
    assert records[url].html == "busy"
    assert asked == 1 + 3


async def test_e1_robots_txt_out_of_order_disallows_the_host(engines: Engines) -> None:
    paths: list[bytes] = []

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        paths.append(head.split()[1])
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with origin(broken) as port:
        url = f"http://127.0.0.1:{port}/"
        assert await only_record(engines, url) == (UrlStatus.DISALLOWED, "robots_unreachable")
    assert set(paths) == {b"/robots.txt"}
    assert len(paths) == 3
