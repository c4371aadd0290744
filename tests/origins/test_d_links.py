"""Difficult origins, part D: which links are found, and which of them belong to the crawl."""

from __future__ import annotations

import pytest

from crawler.model import CrawlStatus, UrlStatus
from tests.fetch.origins import page
from tests.origins.conftest import Found, World
from tests.origins.site import END, Site, text

pytestmark = pytest.mark.slow

LISTED = ("/disallowed/listed", "/d12-page", "/d16-page", "/d16-page", "/d16-missing")
SITEMAP = "".join(
    f"<url><loc>{url}</loc></url>"
    for url in (*(f"http://site.test:{{port}}{path}" for path in LISTED), "{other}/d16-external")
)
TRACKING = tuple(f"/d13-page?utm_source={number}" for number in range(4))

SITE = Site(
    rows={
        "/d1": text("<base href='/d1-base/'><base href='/no/'><a href=in-base>x</a>"),
        "/d1-script": text("<base href='javascript:1'><a href=d1-no-base>x</a>"),
        "/d1-other": text("<base href='{other}/x/'><a href=in-other>x</a>"),
        "/d2": text(
            "<a href=mailto:a@b.test>1</a><a href=tel:1>2</a><a href='data:text/html,x'>3</a>"
            "<a href='javascript:1'>4</a><a href=ftp://site.test/x>5</a><a href='blob:x'>6</a>"
            "<a href='magnet:?x'>7</a><a href='HtTp://site.test:{port}/d2-up'>8</a>"
        ),
        "/d3": text(
            "<a href=' /d3-blank '>1</a><a href=''>2</a><a href='#'>3</a><a href='/d3-&#97;'>4</a><a>5</a>"
            "<a href='/d3-\tt\na\nb'>6</a>"
        ),
        "/d4": text(
            "<map><area href=/d4-area></map><iframe src=/d4-frame></iframe>"
            "<form action=/d4-form><button>b</button></form>"
            "<!-- <a href=/d4-comment>x</a> --><template><a href=/d4-template>x</a></template>"
            "<svg><a xlink:href=/d4-svg><text>x</text></a></svg>"
            "<p data-href=/d4-data onclick=\"location='/d4-click'\">x</p>"
            "<link rel=next href=/d4-next><link rel=alternate hreflang=de href=/d4-alternate>"
            "<link rel=alternate type=application/rss+xml href=/d4-feed><link rel=stylesheet href=/d4-style>"
        ),
        "/d5-link": text("<a rel=nofollow href=/d5-link-end>x</a>"),
        "/d5-meta": text("<meta name=robots content='noindex, nofollow'><p>here<a href=/d5-meta-end>x</a>"),
        "/d5-header": text("<p>here<a href=/d5-header-end>x</a>", "X-Robots-Tag: noindex, nofollow"),
        "/d5-other": text("<p>here", "X-Robots-Tag: otherbot: noindex"),
        "/d5-past": text("<p>here", "X-Robots-Tag: unavailable_after: 25 Jun 2010 15:00:00 GMT"),
        "/d6": text("<title>d6</title><link rel=canonical href=/d6-canon>"),
        "/d6-self": text("<title>d6</title><link rel=canonical href=/d6-self>"),
        "/d6-loop": text("<title>d6</title><link rel=canonical href=/d6-loop-too>"),
        "/d6-missing": text("<title>d6</title><link rel=canonical href=/d6-nowhere>"),
        "/d6-external": text("<title>d6</title><link rel=canonical href='{other}/d6'>"),
        "/d7": text(
            "<a href=http://evilsite.test:{port}/d7>1</a><a href=http://site.test.evil.test/d7>2</a>"
            "<a href=http://sub.site.test:{port}/d7>3</a><a href=http://SITE.TEST:{port}/d7-same>4</a>"
            "<a href=https://site.test:{port}/d7>5</a><a href=http://site.test:1/d7>6</a>"
        ),
        "/d12": text("".join(f"<a href='/d12-page#{n}'>x</a>" for n in range(500))),
        "/d13": text("".join(f"<a href='{path}'>x</a>" for path in TRACKING)),
        "/d14": text("<a href='http://user:secret@site.test:{port}/d14-secret'>x</a>"),
        "/d15": text("".join(f"<a href='/excluded/{n}'>x</a>" for n in range(5000))),
    },
    more={
        "/sitemap.xml": page(f"<urlset>{SITEMAP}</urlset>".encode(), "Content-Type: application/xml"),
        "/d6-loop-too": text("<title>d6</title><link rel=canonical href=/d6-loop>"),
        **dict.fromkeys(("/d2-up", "/d3-blank", "/d3-a", "/d3-tab", "/d4-area", "/d4-frame", "/d4-svg"), END),
        **dict.fromkeys(("/d1-base/in-base", "/d1-no-base", "/d4-next", "/d4-alternate"), END),
        **dict.fromkeys(("/d5-link-end", "/d5-meta-end", "/d5-header-end", "/d6-canon", "/d7-same"), END),
        **dict.fromkeys(("/d12-page", *TRACKING, "/d14-secret", "/d16-page"), END),
    },
)


def test_the_crawl_ends_and_counts_every_page(found: Found) -> None:
    assert found.view.status is CrawlStatus.COMPLETED
    assert found.view.total == found.view.finished
    assert found.view.queued == found.view.cancelled == 0


@pytest.mark.parametrize(
    "path",
    [
        "/d1-base/in-base", "/d1-no-base", "/d2-up", "/d3-blank", "/d3-a", "/d3-tab", "/d4-area", "/d4-frame",
        "/d4-svg", "/d4-next", "/d4-alternate", "/d6-canon", "/d7-same",
    ],
)  # fmt: skip
def test_origin_d1_to_d7_what_is_a_link(found: Found, path: str) -> None:
    assert found[path].status is UrlStatus.COMPLETED


@pytest.mark.parametrize(
    "path",
    ["/d4-form", "/d4-comment", "/d4-template", "/d4-data", "/d4-click", "/d4-feed", "/d4-style"],
)
def test_origin_d2_d4_what_is_no_link(found: Found, path: str) -> None:
    assert path not in found.records
    assert {url.partition(":")[0] for url in found.records if not url.startswith("/")} <= {"http", "https"}


def test_origin_d1_a_base_on_another_host_makes_links_of_that_host(found: Found) -> None:
    other = found.world.other.url("/x/in-other", host="other.test")
    assert (found[other].status, found[other].reason) == (UrlStatus.SKIPPED, "external")


@pytest.mark.parametrize("row", ["link", "meta", "header", "other", "past"])
def test_origin_d5_robots_txt_alone_is_obeyed(found: Found, row: str) -> None:
    """What a page says to search engines is recorded where it says it in its HTML, and changes nothing."""
    record = found[f"/d5-{row}"]
    assert record.status is UrlStatus.COMPLETED
    assert record.html
    if row in {"link", "meta", "header"}:
        assert found[f"/d5-{row}-end"].status is UrlStatus.COMPLETED
    assert record.details.get("robots") == ("noindex, nofollow" if row == "meta" else None)


def test_origin_d6_a_canonical_address_is_a_link_and_the_page_stays(found: Found) -> None:
    for path in ("/d6", "/d6-self", "/d6-loop", "/d6-loop-too", "/d6-missing", "/d6-external"):
        assert (found[path].status, found[path].title) == (UrlStatus.COMPLETED, "d6")
        assert found.asked.count(path) == 1
    assert found["/d6-nowhere"].http_status == 404
    assert found[found.world.other.url("/d6", host="other.test")].status is UrlStatus.SKIPPED
    assert "/d6" not in found.other_asked


def test_origin_d7_other_hosts_ports_and_schemes_are_skipped(found: Found) -> None:
    port = found.world.site.port
    for url in (
        f"http://evilsite.test:{port}/d7",
        "http://site.test.evil.test/d7",
        f"http://sub.site.test:{port}/d7",
        f"https://site.test:{port}/d7",
        "http://site.test:1/d7",
    ):
        assert found[url].status is UrlStatus.SKIPPED
        assert (found[url].html, found[url].http_status) == (None, None)


def test_origin_d12_f18_fragments_are_one_page(found: Found) -> None:
    assert found.asked.count("/d12-page") == 1
    assert [path for path in found.records if path.startswith("/d12-page")] == ["/d12-page"]


def test_origin_d13_queries_tell_pages_apart(found: Found) -> None:
    """Nobody can know which parameters mean nothing; the text is stored once all the same."""
    assert {path for path in found.records if path.startswith("/d13-page")} == set(TRACKING)
    assert {found[path].status for path in TRACKING} == {UrlStatus.COMPLETED}


def test_origin_d14_credentials_in_links_are_neither_sent_nor_stored(found: Found) -> None:
    assert found["/d14-secret"].status is UrlStatus.COMPLETED
    assert "secret@" not in "".join(found.records)
    assert set(found.world.site.header("Authorization")) == {None}


def test_origin_d15_d17_links_of_a_page_are_bounded(found: Found) -> None:
    assert 0 < len([path for path in found.records if path.startswith("/excluded/")]) <= 200


def test_origin_d16_what_a_sitemap_lists_is_judged_like_links(found: Found) -> None:
    assert found.asked.count("/sitemap.xml") == 1
    listed = found["/disallowed/listed"]
    assert (listed.status, listed.reason) == (UrlStatus.DISALLOWED, "robots")
    assert found["/d16-missing"].http_status == 404
    for path in ("/d12-page", "/d16-page"):
        assert found[path].status is UrlStatus.COMPLETED
        assert found.asked.count(path) == 1
    # There may be very many of them, so they have no records (contract A.8).
    assert not [url for url in found.records if url.endswith("/d16-external")]


async def test_origin_d8_a_sibling_is_no_subdomain(world: World, render: bool) -> None:
    port = world.site.port
    world.site.routes["/d8"] = text(
        f"<a href=http://x.h0.site.test:{port}/d8-sub>1</a><a href=http://h1.site.test:{port}/d8>2</a>"
    )
    world.site.routes["/d8-sub"] = END
    _, records = await world.crawl(
        "/d8", "h0.site.test", render=render, depth=1, source="links", options={"includeSubdomains": True}
    )
    assert {url: record.status for url, record in records.items()} == {
        "/d8": UrlStatus.COMPLETED,
        f"http://x.h0.site.test:{port}/d8-sub": UrlStatus.COMPLETED,
        f"http://h1.site.test:{port}/d8": UrlStatus.SKIPPED,
    }


async def test_origin_d9_exclude_wins_and_the_start_is_exempt(world: World, render: bool) -> None:
    world.site.routes["/d9"] = text("<a href=/d9-in/a>1</a><a href=/d9-in/out/b>2</a><a href=/d9-other>3</a>")
    world.site.routes["/d9-in/a"] = END
    patterns = {"includePatterns": ["**/d9-in/**"], "excludePatterns": ["**/d9-in/out/**"]}
    _, records = await world.crawl("/d9", render=render, depth=1, source="links", options=patterns)
    assert {path: record.reason for path, record in records.items()} == {
        "/d9": "",
        "/d9-in/a": "",
        "/d9-in/out/b": "excluded",
        "/d9-other": "not_included",
    }


async def test_origin_d10_d11_d18_depth_and_limit_are_exact_without_a_sitemap(
    world: World, render: bool
) -> None:
    world.site.heads.clear()
    world.site.routes |= {f"/chain/{n}": text(f"<a href=/chain/{n + 1}>x</a>") for n in range(9)}
    _, records = await world.crawl("/chain/0", render=render, depth=2, limit=50, source="links")
    assert list(records) == ["/chain/0", "/chain/1", "/chain/2"]
    _, records = await world.crawl("/chain/0", render=render, limit=4, source="links")
    assert len(records) == 4
    assert not [path for path in world.site.paths if "sitemap" in path]


async def test_origin_d17_sitemaps_only_where_there_are_none(world: World, render: bool) -> None:
    world.other.routes["/d17"] = text("<title>alone</title><a href=/d17-link>x</a>")
    start = world.other.url("/d17", host="other.test")
    view, records = await world.engine.crawl(start, render=render, source="sitemaps", maxAge=0)
    assert view.status is CrawlStatus.COMPLETED
    assert [(url, record.title) for url, record in records.items()] == [(start, "alone")]


async def test_f14_g8_a_seed_that_robots_txt_forbids_is_a_crawl_of_one_record(
    world: World, render: bool
) -> None:
    view, records = await world.crawl("/disallowed/", render=render, limit=5, source="links")
    assert view.status is CrawlStatus.COMPLETED
    assert [record.status for record in records.values()] == [UrlStatus.DISALLOWED]
