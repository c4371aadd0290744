"""robots.txt and sitemaps of difficult origins, through the whole engine (contract B.2, security E1 to E22)."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import Callable

import pytest

from crawler.errors import NotFound
from crawler.model import CrawlStatus, UrlStatus
from crawler.store.database import wall_clock_ms
from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, Handler, answer, serve

FAST = {"connect_timeout_seconds": 1.0, "first_byte_timeout_seconds": 0.5}
PAGE = answer("<title>t</title><a href='/a'>a</a>")


def site(robots: bytes | Callable[[], bytes], sitemap: bytes = NOT_FOUND) -> Callable[[str], bytes]:
    """Pages everywhere but for these two files."""

    def handle(path: str) -> bytes:
        match path:
            case "/robots.txt":
                return robots if isinstance(robots, bytes) else robots()
            case "/sitemap.xml":
                return sitemap
            case _:
                return PAGE

    return handle


@pytest.mark.parametrize("status", ["500 Oh", "503 Busy", "429 Slow down", "reset", "silence"])
async def test_e1_unreachable_robots_txt_disallows_after_three_tries(engines: Engines, status: str) -> None:
    async def silence(path: str) -> bytes:
        await asyncio.sleep(2)
        return b""

    async def reset(path: str) -> bytes:
        return b""

    scripts: dict[str, Handler] = {"reset": reset, "silence": silence}
    async with (
        serve(scripts.get(status) or site(answer("", status=status))) as origin,
        engines(**FAST) as engine,
    ):
        _, records = await engine.crawl(origin.url(), source="links")
    record = records[origin.url()]
    assert (record.status, record.reason) == (UrlStatus.DISALLOWED, "robots_unreachable")
    assert origin.paths == ["/robots.txt"] * 3


async def test_x42_a_robots_txt_that_flaps_opens_nothing(engines: Engines) -> None:
    answers = itertools.cycle(["503 Busy", "200 OK"])
    given: list[tuple[str, int]] = []

    def robots() -> bytes:
        status = next(answers)
        given.append((status, len(origin.paths)))
        return answer("User-agent: *\nDisallow: /secret", status=status, content_type="text/plain")

    def pages(path: str) -> bytes:
        links = "".join(f"<a href='/{number}'>{number}</a>" for number in range(12))
        return robots() if path == "/robots.txt" else answer(f"{links}<a href='/secret'>s</a>")

    async with serve(pages) as origin, engines(default_delay=0.4, robots_ttl_seconds=1) as engine:
        view, records = await engine.crawl(origin.url(), source="links", limit=20)
    # It was not known before it came, and then forgotten again and again.
    assert len(given) > 2
    first = next(asked for status, asked in given if status == "200 OK")
    assert set(origin.paths[:first]) == {"/robots.txt"}
    assert "/secret" not in origin.paths
    assert records[origin.url("/secret")].status is UrlStatus.DISALLOWED
    assert view.completed == 13


@pytest.mark.parametrize("delay_seconds", [0.0, 0.2])
async def test_robots_txt_that_is_never_kept_is_asked_for_once_per_page(
    engines: Engines, delay_seconds: float
) -> None:
    pages = {
        "/robots.txt": answer("User-agent: *\nAllow: /", content_type="text/plain"),
        "/": answer("<a href=/a>a</a>"),
        "/a": answer("a"),
    }
    async with (
        serve(lambda path: pages.get(path, NOT_FOUND)) as origin,
        engines(default_delay=delay_seconds, robots_ttl_seconds=0) as engine,
    ):
        view, _ = await engine.crawl(origin.url(), limit=2)
    assert view.completed == 2
    # At the POST, before each of the two pages and of the sitemap, and for the sitemap's name.
    assert origin.paths.count("/robots.txt") <= 5


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "401 Unauthorized", "403 Forbidden"])
async def test_e2_robots_txt_that_is_not_there_allows_everything(engines: Engines, status: str) -> None:
    async with serve(site(answer("", status=status))) as origin, engines() as engine:
        view, _ = await engine.crawl(origin.url(), source="links")
    assert view.completed == 2


async def test_e3_a_known_robots_txt_is_used_while_the_origin_fails(engines: Engines) -> None:
    answers = [answer("User-agent: *\nDisallow: /a", content_type="text/plain")]
    offset = 0

    def clock() -> int:
        return wall_clock_ms() + offset

    def robots() -> bytes:
        return answers.pop() if answers else answer("", status="503 Busy")

    async with serve(site(robots)) as origin, engines(clock_ms=clock, robots_ttl_seconds=1) as engine:
        await engine.crawl(origin.url(), source="links")
        offset = 3_600_000
        await asyncio.sleep(1.1)  # the rules in memory run out by this machine's own clock
        view, records = await engine.crawl(origin.url(), source="links", limit=20)
    assert origin.paths.count("/robots.txt") == 2
    assert records[origin.url("/a")].status is UrlStatus.DISALLOWED
    assert view.completed == 1


@pytest.mark.parametrize(("hops", "allowed"), [(5, False), (6, True)])
async def test_e4_five_redirects_of_robots_txt_are_followed(
    engines: Engines, hops: int, allowed: bool
) -> None:
    def handle(path: str) -> bytes:
        step = (
            0 if path == "/robots.txt" else int(path.removeprefix("/hop")) if path.startswith("/hop") else -1
        )
        if step < 0:
            return PAGE
        if step < hops:
            return answer("", status="301 Moved", location=f"/hop{step + 1}")
        return answer("User-agent: *\nDisallow: /", content_type="text/plain")

    async with serve(handle) as origin, engines() as engine:
        view, _ = await engine.crawl(origin.url(), source="links")
    assert (view.completed > 0) == allowed


@pytest.mark.parametrize("target", ["http://127.0.0.3/robots.txt", "file:///etc/passwd"])
async def test_e5_robots_txt_does_not_redirect_to_forbidden_places(engines: Engines, target: str) -> None:
    robots = answer("", status="302 Found", location=target)
    async with serve(site(robots)) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), source="links")
    assert records[origin.url()].status in {UrlStatus.DISALLOWED, UrlStatus.ERRORED}
    assert set(origin.paths) == {"/robots.txt"}


async def test_f55_our_own_group_alone_counts(engines: Engines) -> None:
    text = "User-agent: *\nDisallow: /\n\nUser-agent: OpenCrawl\nDisallow: /a\n"
    async with serve(site(answer(text, content_type="text/plain"))) as origin, engines() as engine:
        view, records = await engine.crawl(origin.url(), source="links")
    assert records[origin.url("/a")].status is UrlStatus.DISALLOWED
    assert (view.completed, view.disallowed) == (1, 1)
    assert "/a" not in origin.paths


async def test_a9_a_redirect_to_a_disallowed_path_is_not_followed(engines: Engines) -> None:
    def handle(path: str) -> bytes:
        match path:
            case "/robots.txt":
                return answer("User-agent: *\nDisallow: /private", content_type="text/plain")
            case "/":
                return answer("", status="302 Found", location="/private/x")
            case _:
                return PAGE

    async with serve(handle) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), source="links")
    assert (records[origin.url()].status, records[origin.url()].reason) == (UrlStatus.DISALLOWED, "robots")
    assert "/private/x" not in origin.paths


async def test_e20_a_sitemap_that_trickles_does_not_hold_the_crawl_for_ever(engines: Engines) -> None:
    async def handle(path: str) -> bytes:
        if path == "/sitemap.xml":
            await asyncio.sleep(3)
        return NOT_FOUND if path in {"/robots.txt", "/sitemap.xml"} else PAGE

    async with serve(handle) as origin, engines(max_attempts=1, **FAST) as engine:
        view, records = await engine.crawl(origin.url())
    assert view.status is CrawlStatus.COMPLETED
    assert list(records) == [origin.url(), origin.url("/a")]


async def test_e22_a_page_that_talks_about_sitemaps_is_a_page(engines: Engines) -> None:
    text = "<title>x</title><pre>&lt;urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'></pre><a href=/b>"
    async with serve(lambda path: NOT_FOUND if path != "/" else answer(text)) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), formats=["markdown"])
    assert records[origin.url()].status is UrlStatus.COMPLETED
    assert "urlset" in (records[origin.url()].markdown or "")
    assert origin.url("/b") in records


async def test_f61_a_gzipped_sitemap_index_in_order_of_priority(engines: Engines) -> None:
    def handle(path: str) -> bytes:
        base = origin.url("")
        match path:
            case "/robots.txt":
                return answer(f"Sitemap: {base}/index.xml", content_type="text/plain")
            case "/index.xml":
                index = f"<sitemapindex><sitemap><loc>{base}/one.xml.gz</loc></sitemap></sitemapindex>"
                return answer(index, content_type="application/xml")
            case "/one.xml.gz":
                entries = (("low", 0.1, "2020-01-01"), ("high", 0.9, ""), ("outside", 1.0, ""))
                urls = "".join(
                    f"<url><loc>{base}/{name}</loc><priority>{priority}</priority>"
                    f"{f'<lastmod>{lastmod}</lastmod>' if lastmod else ''}</url>"
                    for name, priority, lastmod in entries
                )
                body = f"<urlset>{urls}</urlset>".encode()
                return answer(gzip.compress(body), content_type="application/gzip")
            case _:
                return answer("<title>x</title>")

    async with serve(handle) as origin, engines() as engine:
        outside = {"excludePatterns": [origin.url("/outside")]}
        _, records = await engine.crawl(origin.url(), source="sitemaps", options=outside)
        recent = wall_clock_ms() // 1000 - 86_400
        _, newer = await engine.crawl(origin.url(), source="sitemaps", options=outside, modifiedSince=recent)
    assert list(records) == [origin.url(), origin.url("/high"), origin.url("/low")]
    assert list(newer) == list(records)
    assert (newer[origin.url("/high")].status, newer[origin.url("/low")].status) == ("completed", "skipped")
    assert newer[origin.url("/low")].reason == "not_modified"


async def test_f53_seven_days_end_a_crawl_and_fourteen_more_its_results(engines: Engines) -> None:
    offset = 0

    def clock() -> int:
        return wall_clock_ms() + offset

    async def never(path: str) -> bytes:
        await asyncio.sleep(30)
        return b""

    async with serve(never) as origin, engines(clock_ms=clock, stop_seconds=0.0) as engine:
        crawl_id = await engine.start(origin.url())
        assert (await engine.view(crawl_id)).status is CrawlStatus.RUNNING
        offset = 7 * 86_400_000
        view = await engine.wait(crawl_id)
        assert view.status is CrawlStatus.CANCELLED_DUE_TO_TIMEOUT
        assert view.cancelled == 1
        offset += 14 * 86_400_000
        with pytest.raises(NotFound):
            await engine.view(crawl_id)
