"""An origin that knows a crawl's secrets, because they were sent to it, cannot have us write them down (C41)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from crawler.fetch.egress import Egress
from crawler.fetch.http import HttpFetcher
from crawler.model import Failure
from crawler.settings import Settings
from crawler.telemetry import configure_logging
from tests.engine.conftest import Engines

MARKER = "MARKER-77c1"
SECRETS = {
    "setExtraHTTPHeaders": {"X-Api-Key": MARKER},
    "cookies": [{"name": "sid", "value": MARKER}],
}


@asynccontextmanager
async def echo() -> AsyncIterator[str]:
    """An origin that says back what it was sent: in its page, in broken heads, in redirects to nowhere."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        said = " ".join(head.split())
        links = "".join(
            f'<a href="/{name}">{name}</a>' for name in ("status", "reason", "location", "header")
        )
        body = f"<title>{said}</title><p>{said}</p>{links}"
        page = f"Content-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        match head.split()[1]:
            case "/robots.txt":
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            case "/status":
                writer.write(f"HTTP/1.1 {MARKER} Bad\r\n{page}".encode())
            case "/reason":
                writer.write(f"HTTP/1.1 500 {said}\r\n{page}".encode())
            case "/location":
                writer.write(f"HTTP/1.1 302 Found\r\nLocation: http://[{said}]/\r\n{page}".encode())
            case "/header":
                writer.write(f"HTTP/1.1 200 OK\r\n{said[:200]}\x00: {said}\r\n{page}".encode())
            case _:
                writer.write(f"HTTP/1.1 200 OK\r\n{page}".encode())
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[str], Callable[[], str]]]:
    """`log(form)` sets up this process's logs in that form, at DEBUG; what that returns says what was logged."""
    root = logging.getLogger()
    before = root.handlers, root.level

    def start(log_format: str) -> Callable[[], str]:
        configure_logging(Settings.load(log_format=log_format, log_level="DEBUG"))
        return lambda: capsys.readouterr().err

    yield start
    root.handlers, root.level = before


@pytest.mark.browser
async def test_c41_what_an_origin_says_back_is_its_page_and_nothing_else(
    engines: Engines, log: Callable[[str], Callable[[], str]]
) -> None:
    logged = log("json")
    async with echo() as origin, engines() as engine:
        _, records = await engine.crawl(
            f"{origin}/", source="links", render=True, formats=["html"], **SECRETS
        )
    assert len(records) == 5
    assert MARKER in (records[f"{origin}/"].html or ""), "the page is the user's own"
    errored = [record for record in records.values() if record.status == "errored"]
    assert len(errored) >= 3
    assert not [record for record in errored if MARKER in record.reason + str(record.details)]
    said = logged()
    assert logging.getLogger("crawler").isEnabledFor(logging.DEBUG), "all that can be said was"
    assert MARKER not in said


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_c42_a_traceback_shows_no_header(
    log_format: str, log: Callable[[str], Callable[[], str]]
) -> None:
    """A bug inside a fetch, where the headers are local variables of several frames."""
    logged = log(log_format)
    settings = Settings.load(egress_allow_cidrs=("127.0.0.1/32",), egress_allowed_ports=("1-65535",))
    egress = Egress(settings)
    async with echo() as origin, HttpFetcher(egress, settings) as fetcher:
        try:
            await fetcher.fetch(f"{origin}/", headers={"Cookie": MARKER}, accept=_fails)
        except ZeroDivisionError:
            logging.getLogger("crawler").exception("page failed inside the crawler")
    egress.close()
    said = logged()
    assert "ZeroDivisionError" in said
    assert "http.py" in said
    assert MARKER not in said


def _fails(status: int, _headers: object) -> Failure | None:
    raise ZeroDivisionError(status)
