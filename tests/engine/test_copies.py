"""`maxAge`: pages of earlier crawls are used without asking, and only where nobody could tell the difference
(contract B.7, F62; security C23 to C25)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from crawler.model import Record
from crawler.options import parse_options
from crawler.store.database import wall_clock_ms
from tests.engine.conftest import Engine, Engines
from tests.engine.validating import Page, serve_pages

LINKS = "<title>Start</title><a href=/a>a</a> <a href=/b>b</a>"


async def crawl_as(engine: Engine, account: str, url: str, **fields: object) -> list[Record]:
    """Crawl to the end for this account."""
    service = engine.runtime.service
    options = parse_options({"url": url, **fields}, now=datetime.now(UTC))
    crawl_id = await service.create(account, options)
    while (page := await service.read(account, crawl_id)).crawl.status == "running":
        await asyncio.sleep(0.02)
    return list(page.records)


async def test_f62_a_second_crawl_within_max_age_fetches_no_page(engines: Engines) -> None:
    async with (
        serve_pages(index=LINKS, a="<title>A</title>", b="<title>B</title>") as origin,
        engines() as engine,
    ):
        _, first = await engine.crawl(origin.url(), formats=["html", "markdown"])
        origin.asked.clear()
        view, second = await engine.crawl(origin.url(), formats=["html", "markdown"])
        assert origin.asked == []
        assert list(second) == list(first)
        for url, record in second.items():
            assert (record.status, record.title) == ("completed", first[url].title)
            assert (record.html, record.markdown) == (first[url].html, first[url].markdown)
            assert record.details["cacheStatus"] == "hit"
            assert record.details["age"] in range(60)
            assert "cacheStatus" not in first[url].details
        assert view.browser_seconds == 0
        # Links are judged by the crawl that follows them, not by the one that found them.
        excluded = {"excludePatterns": [origin.url("/a")]}
        _, narrow = await engine.crawl(origin.url(), formats=["html", "markdown"], options=excluded)
        assert origin.asked == []
        assert [record.status for record in narrow.values()] == ["completed", "skipped", "completed"]
        # Another form of record is another page to keep.
        _, other = await engine.crawl(origin.url(), formats=["markdown"])
        assert sorted(origin.paths) == ["/", "/a", "/b"]
        assert other[origin.url()].html is None


async def test_f62_another_viewport_renders_again(engines: Engines) -> None:
    script = "<title>x</title><script>document.title = innerWidth</script>"
    async with serve_pages(index=script) as origin, engines() as engine:
        for width, title, requests in ((800, "800", 1), (800, "800", 1), (600, "600", 2)):
            size = {"width": width, "height": 600}
            view, records = await engine.crawl(origin.url(), render=True, viewport=size, source="links")
            assert records[origin.url()].title == title
            assert len(origin.paths) == requests
            assert (view.browser_seconds > 0) == ("cacheStatus" not in records[origin.url()].details)


async def test_a_copy_older_than_max_age_is_not_used(engines: Engines) -> None:
    offset = 0

    def clock() -> int:
        return wall_clock_ms() + offset

    async with serve_pages(index="<p>x") as origin, engines(clock_ms=clock) as engine:
        for seconds, max_age, requests in (
            (0, 100, 1),
            (90, 100, 1),
            (90, 60, 2),
            (150, 100, 2),
            (150, 0, 3),
            (240, 100, 3),
            (251, 100, 4),
        ):
            offset = seconds * 1000
            await engine.crawl(origin.url(), maxAge=max_age)
            assert len(origin.paths) == requests, (seconds, max_age)


async def test_copies_need_no_turn_of_the_host(engines: Engines) -> None:
    names = [f"p{number}" for number in range(12)]
    start = "".join(f"<a href=/{name}>x</a>" for name in names)
    async with serve_pages(index=start, **dict.fromkeys(names, "<p>page")) as origin:
        async with engines() as engine:
            await engine.crawl(origin.url(), limit=20)
        origin.asked.clear()
        async with engines(default_delay=60.0) as engine:
            crawl_id = await engine.start(origin.url(), limit=20, source="links")
            view = await engine.wait(crawl_id, seconds=30)
    assert view.completed == 13
    assert origin.asked == []


@pytest.mark.parametrize(
    "page",
    [
        Page("x", {"Cache-Control": "private, no-store"}),
        Page("x", {"Cache-Control": 'max-age=60, Private="x"'}),
        Page("x", {"Cache-Control": "no-cache"}),
        Page("x", {"Set-Cookie": "session=1"}),
        Page("x", {"Vary": "*"}),
        Page("x", status=500),
    ],
    ids=["no-store", "private", "no-cache", "set-cookie", "vary", "500"],
)
async def test_c25_what_must_not_be_kept_is_fetched_again(engines: Engines, page: Page) -> None:
    async with serve_pages(index=page) as origin, engines() as engine:
        for requests in (1, 2):
            await engine.crawl(origin.url(), source="links")
            assert len(origin.paths) == requests


async def test_c23_c24_c25_rendered_pages_of_others_are_not_used(engines: Engines) -> None:
    """One browser, one page; each line is a crawl, and whether it must bring about a request."""
    plain: dict[str, object] = {}
    cookie = {"cookies": [{"name": "who", "value": "alice"}]}
    language = {"setExtraHTTPHeaders": {"Accept-Language": "xx"}}
    no_scripts = {"setJavaScriptEnabled": False}
    async with (
        serve_pages(me="<p>COOKIE", set=Page("x", {"Set-Cookie": "a=b"})) as origin,
        engines() as engine,
    ):
        for account, fields, is_fetched in (
            ("one", cookie, True),
            ("two", plain, True),
            ("one", plain, True),
            ("one", plain, False),
            ("one", cookie, True),
            ("one", language, True),
            ("one", no_scripts, True),
            ("two", no_scripts, True),
            ("two", plain, False),
        ):
            origin.asked.clear()
            (record,) = await crawl_as(
                engine, account, origin.url("/me"), source="links", maxAge=86_400, **fields
            )
            assert bool(origin.asked) == is_fetched, (account, fields)
            who = "who=alice" if fields is cookie else "nobody"
            assert record.html is not None
            assert who in record.html
        origin.asked.clear()
        for _ in range(2):
            await crawl_as(engine, "one", origin.url("/set"), source="links")
        assert len(origin.asked) == 2, "a page that sets a cookie"
