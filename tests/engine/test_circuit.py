"""A host that goes away in the middle of a crawl."""

from __future__ import annotations

import asyncio

from crawler.model import CrawlStatus, UrlStatus
from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, answer, serve

LINKS = "".join(f'<a href="/{n}">x</a>' for n in range(6))
BUSY = answer("busy", status="503 Busy")


async def test_x41_pages_wait_for_a_host_and_keep_their_attempts(engines: Engines) -> None:
    """Only the page that finds out has lost its one attempt; the next ones only try whether the host is back."""
    away = 2

    def handler(path: str) -> bytes:
        nonlocal away
        if path in ("/robots.txt", "/"):
            return NOT_FOUND if path == "/robots.txt" else answer(LINKS)
        if away:
            away -= 1
            return BUSY
        return answer("here")

    settings = {"static_slots": 1, "max_attempts": 1, "host_failures_to_wait": 1}
    async with serve(handler) as origin, engines(**settings) as engine:
        view, records = await engine.crawl(origin.url(), source="links")
    assert view.status is CrawlStatus.COMPLETED
    assert (view.completed, view.errored) == (6, 1)
    assert records[origin.url("/0")].status is UrlStatus.ERRORED
    assert len(origin.paths) == 1 + 7 + 1


async def test_x41_a_crawl_of_a_host_that_stays_away_ends(engines: Engines) -> None:
    def handler(path: str) -> bytes:
        return {"/robots.txt": NOT_FOUND, "/": answer(LINKS)}.get(path, BUSY)

    settings = {"static_slots": 1, "host_failures_to_wait": 1, "host_failures_to_give_up": 2}
    async with serve(handler) as origin, engines(**settings) as engine:
        view, records = await engine.crawl(origin.url(), source="links")
        assert len(origin.paths) == 2 + 2
        again, _ = await engine.crawl(origin.url("/another"), source="links")
    assert (view.completed, view.errored) == (1, 6)
    lost = [record for record in records.values() if record.status is UrlStatus.ERRORED]
    assert {record.reason for record in lost} == {"http_error"}
    assert again.errored == 1
    assert len(origin.paths) == 2 + 2


async def test_a_page_that_leads_to_a_dead_host_says_nothing_about_its_own(engines: Engines) -> None:
    ended = asyncio.Event()

    async def dead(path: str) -> bytes:
        if path != "/robots.txt":
            await ended.wait()
        return NOT_FOUND

    def handler(path: str) -> bytes:
        match path:
            case "/robots.txt":
                return NOT_FOUND
            case "/":
                return answer('<a href="/away">x</a><a href="/last">x</a>')
            case "/away":
                return answer(status="302 Found", location=elsewhere.url(host="elsewhere.test"))
            case _:
                return answer("here")

    settings = {
        "static_slots": 1,
        "max_attempts": 1,
        "host_failures_to_give_up": 1,
        "fetch_timeout_seconds": 1.0,
        "egress_hosts": ("elsewhere.test=127.0.0.1",),
    }
    async with serve(dead) as elsewhere, serve(handler) as origin:
        ports = (str(origin.port), str(elsewhere.port))
        async with engines(**settings, egress_allowed_ports=ports) as engine:
            _, records = await engine.crawl(origin.url(), source="links")
        ended.set()
    assert records[origin.url("/away")].reason == "timeout"
    assert records[origin.url("/last")].status is UrlStatus.COMPLETED
