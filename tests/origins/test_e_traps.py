"""Difficult origins, part E: sites without an end. A crawl ends, and the rest of the site gets its share."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import NamedTuple

import pytest

from crawler.model import CrawlStatus, CrawlView, Record, UrlStatus
from tests.fetch.origins import PUBLIC, PUBLIC_TOO, origin, page, redirect
from tests.origins.conftest import Found, World
from tests.origins.site import NONE, Site, replying, text

pytestmark = pytest.mark.slow

PAGES = 8
LIMIT = 60
PARAMETERS = "&".join(f"p{number}=1" for number in range(1000))

SITE = Site(
    rows={
        "/e3/a/": text("<a href=a/>deeper</a>"),
        "/e6": text("<a href=/disallowed/honeypot style='display:none'>x</a>"),
        "/e9": text(
            f"<a href='/{'x' * 10_000}'>1</a><a href='/e9-&#x202E;&#x1F600;'>2</a><a href='/e9?{PARAMETERS}'>3</a>"
            "<a href='/e9-\x01-%00'>4</a>"
        ),
        "/f17": text("<base href='http://127.0.0.3:{canary}/'><a href=in-private>x</a>"),
    },
    more={f"/e3/{'a/' * depth}": text("<a href=a/>deeper</a>") for depth in range(2, 30)},
)


class Trapped(NamedTuple):
    """A crawl of the site of traps; records by path."""

    view: CrawlView
    records: Mapping[str, Record]
    asked: list[str]

    def below(self, prefix: str) -> list[str]:
        return [path for path in self.records if path.startswith(prefix)]


def _trap(path: str, session: int) -> bytes:
    """Every answer leads on; `session` is another number for each of them."""
    match path.split("/")[1].partition("?")[0]:
        case "robots.txt":
            return NONE
        case "":
            traps = ("/cal?m=1", "/session", "/facet?a=1&b=2", "/facet?b=2&a=1", "/soft/0", "/Case")
            links = [*traps, *(f"/page/{number}" for number in range(PAGES))]
        case "cal":
            links = [f"/cal?m={int(path.partition('=')[2]) + 1}"]
        case "session":
            links = [f"/session/{session}", f"/session?id={session}"]
        case "facet":
            links = [f"{path}&c={number}" for number in range(3)]
        case "soft":
            links = [f"{path}/{number}" for number in range(3)]
        case "page":
            links = [f"{path}/below"] if path.count("/") == 2 else []
        case _:
            links = ["/case", "/CASE", "/Case", "/cAse"]
    return text(f"<title>not found</title>{''.join(f'<a href={link}>x</a>' for link in links)}")


@pytest.fixture(scope="module")
async def trapped(world: World, render: bool) -> AsyncIterator[Trapped]:
    async with origin(PUBLIC) as traps:
        sessions = count()
        traps.routes["*"] = replying(traps, lambda head: _trap(head.split(b" ")[1].decode(), next(sessions)))
        base = traps.url("", host="site.test")
        view, records = await world.engine.crawl(
            f"{base}/", render=render, limit=LIMIT, source="links", formats=["markdown"], maxAge=0
        )
        yield Trapped(view, {url.removeprefix(base): record for url, record in records.items()}, traps.paths)


def test_the_crawl_ends_and_counts_every_page(found: Found) -> None:
    assert found.view.status is CrawlStatus.COMPLETED
    assert found.view.total == found.view.finished
    assert found.view.queued == found.view.cancelled == 0


def test_origin_e3_f18_a_path_that_grows_ends(found: Found) -> None:
    grown = [path for path in found.asked if path.startswith("/e3/")]
    assert 1 <= len(grown) <= 5


def test_origin_e6_a_honeypot_is_not_entered(found: Found) -> None:
    assert found["/disallowed/honeypot"].status is UrlStatus.DISALLOWED
    assert not [path for path in found.asked if path.startswith("/disallowed")]


def test_origin_e9_long_and_odd_urls_do_no_harm(found: Found) -> None:
    assert not [path for path in found.records if len(path) > 2048]
    odd = sorted(path for path in found.records if path.startswith("/e9-"))
    assert odd == ["/e9-%01-%00", "/e9-%E2%80%AE%F0%9F%98%80"]
    assert {found[path].http_status for path in odd} == {404}


def test_f17_a_base_that_leads_inside_is_never_dialled(found: Found) -> None:
    inside = f"http://127.0.0.3:{found.world.canary.port}/in-private"
    assert found[inside].status is UrlStatus.SKIPPED
    assert found.world.canary.hits == []


def test_origin_e1_a_crawl_of_traps_ends_at_its_limit(trapped: Trapped) -> None:
    assert trapped.view.status is CrawlStatus.COMPLETED
    assert trapped.view.total == trapped.view.finished == len(trapped.records) == LIMIT
    pages = [path for path in trapped.asked if path not in {"/robots.txt", "/favicon.ico"}]
    assert sorted(pages) == sorted(trapped.records)


def test_origin_e1_the_rest_of_the_site_gets_its_share(trapped: Trapped) -> None:
    for number in range(PAGES):
        for path in (f"/page/{number}", f"/page/{number}/below"):
            assert trapped.records[path].status is UrlStatus.COMPLETED
    assert 1 < len(trapped.below("/cal")) < LIMIT / 4


def test_origin_e2_e4_e10_every_spelling_is_a_page(trapped: Trapped) -> None:
    """Neither sessions nor the order of parameters nor letter case are undone: only the limit bounds them."""
    assert {"/facet?a=1&b=2", "/facet?b=2&a=1"} <= trapped.records.keys()
    assert sorted(trapped.below("/C") + trapped.below("/cA") + trapped.below("/cas")) == [
        "/CASE", "/Case", "/cAse", "/case",
    ]  # fmt: skip
    assert 1 < len(trapped.below("/session")) < LIMIT / 3


def test_origin_e5_a_soft_404_is_a_page(trapped: Trapped) -> None:
    soft = [trapped.records[path] for path in trapped.below("/soft")]
    assert {(record.status, record.title) for record in soft} == {(UrlStatus.COMPLETED, "not found")}
    assert 1 < len(soft) < LIMIT / 2


async def test_origin_e7_hosts_without_end_are_bounded(world: World, render: bool) -> None:
    async with origin(PUBLIC) as hosts:

        def lead_on(head: bytes) -> bytes:
            if b"/robots.txt" in head:
                return NONE
            number = int(head.partition(b"\r\nHost: h")[2].partition(b".")[0] or b"0")
            links = (f"http://h{next_}.site.test:{hosts.port}/" for next_ in (number + 1, number + 2))
            return text("".join(f"<a href={link}>x</a>" for link in links))

        hosts.routes["*"] = replying(hosts, lead_on)
        view, records = await world.engine.crawl(
            hosts.url(host="site.test"), render=render, limit=8, source="links", maxAge=0,
            options={"includeSubdomains": True},
        )  # fmt: skip
        robots = [
            host
            for host, path in zip(hosts.header("Host"), hosts.paths, strict=True)
            if path == "/robots.txt"
        ]
    assert (view.status, view.completed, len(records)) == (CrawlStatus.COMPLETED, 8, 8)
    assert len(robots) == len(set(robots)) == 8


async def test_origin_e8_two_hosts_that_lead_to_each_other_are_bounded(world: World, render: bool) -> None:
    async with origin(PUBLIC) as one, origin(PUBLIC_TOO) as two:
        for here, there, name in ((one, two, "other.test"), (two, one, "site.test")):

            def lead_on(head: bytes, base: str = there.url("", host=name)) -> bytes:
                path = head.split(b" ")[1].decode()
                return NONE if path == "/robots.txt" else text(f"<a href={base}{path}x>x</a>")

            here.routes["*"] = replying(here, lead_on)
        view, records = await world.engine.crawl(
            one.url(host="site.test"), render=render, limit=8, source="links", maxAge=0,
            options={"includeExternalLinks": True},
        )  # fmt: skip
    assert (view.status, view.completed, len(records)) == (CrawlStatus.COMPLETED, 8, 8)


async def test_origin_e11_hostile_sitemaps_are_bounded(world: World, render: bool) -> None:
    async with origin(PUBLIC) as site:
        base = site.url("", host="h30.site.test")
        names = ("loop", "deep1", "bomb", "xxe", "moved", "good")

        def index(*paths: str) -> bytes:
            return page(
                f"<sitemapindex>{''.join(f'<sitemap><loc>{base}{path}</loc></sitemap>' for path in paths)}"
                "</sitemapindex>".encode()
            )

        secret = f"<!DOCTYPE x SYSTEM 'http://127.0.0.3:{world.canary.port}/x.dtd' [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
        site.routes |= {
            "/": text("<title>start</title>"),
            "/robots.txt": page("".join(f"Sitemap: {base}/{name}\n" for name in names).encode()),
            "/loop": index("/loop", "/loop2"),
            "/loop2": index("/loop", "/good"),
            **{f"/deep{level}": index(f"/deep{level + 1}") for level in range(1, 9)},
            "/bomb": page(gzip.compress(b"<urlset>" + b" " * (60 << 20), 1)),
            "/xxe": page(f"{secret}<urlset><url><loc>{base}/&e;</loc></url></urlset>".encode()),
            "/moved": redirect(f"http://127.0.0.3:{world.canary.port}/sitemap.xml"),
            "/good": page(f"<urlset><url><loc>{base}/page</loc></url></urlset>".encode()),
            "/page": text("<title>page</title>"),
        }
        view, records = await world.engine.crawl(f"{base}/", render=render, maxAge=0)
        asked = [path for path in site.paths if path not in {"/favicon.ico", "/robots.txt"}]
    assert view.status is CrawlStatus.COMPLETED
    assert {url.removeprefix(base): record.title for url, record in records.items()} == {
        "/": "start",
        "/page": "page",
    }
    assert len(asked) == len(set(asked)), "each is read once"
    levels = [path for path in asked if path.startswith("/deep")]
    assert (
        sorted(levels) == ["/deep1", "/deep2", "/deep3"]
        or len(levels) == world.engine.runtime.settings.max_sitemap_depth + 1
    )
    assert world.canary.hits == []
