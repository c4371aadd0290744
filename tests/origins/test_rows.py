"""Difficult origins, crawled by the whole engine in both modes: one record each, and the crawl goes on (A to F)."""

from __future__ import annotations

import pytest

from crawler.model import CrawlStatus, UrlStatus
from tests.origins.conftest import Found, World

pytestmark = pytest.mark.slow


def test_the_crawl_ends_and_counts_every_page(found: Found) -> None:
    assert found.view.status is CrawlStatus.COMPLETED
    assert found.view.total == found.view.finished
    assert found.view.queued == found.view.cancelled == 0


def test_nobody_met_the_canary(found: Found) -> None:
    assert found.world.canary.hits == []


@pytest.mark.parametrize(
    ("path", "final", "title"),
    [
        ("/a1", "/a1-end", "end"),
        ("/a2", "/a2-5", "end"),
        ("/a11/x/y", "/a11/z?q=1", "end"),
    ],
)
def test_origin_a1_a2_a11_redirects_are_recorded_where_they_started(
    found: Found, path: str, final: str, title: str
) -> None:
    record = found[path]
    assert (record.status, record.http_status, record.title) == (UrlStatus.COMPLETED, 200, title)
    assert record.final_url == found.world.url(final)


@pytest.mark.parametrize("path", ["/a3", "/a4"])
def test_origin_a3_a4_a28_loops_end(found: Found, path: str) -> None:
    assert (found[path].status, found[path].reason) == (UrlStatus.ERRORED, "too_many_redirects")
    assert found.asked.count(path) <= 12


def test_origin_a6_a32_another_host_is_followed_with_its_robots_and_no_further(found: Found) -> None:
    record = found["/a6"]
    assert (record.status, record.title) == (UrlStatus.COMPLETED, "off site")
    assert record.final_url == found.world.other.url("/a6-end", host="other.test")
    assert "/from-other" not in found.other_asked
    assert "/a6-end" in found.other_asked


def test_origin_a7_a33_the_target_decides_about_itself(found: Found) -> None:
    assert (found["/a33"].status, found["/a33"].reason) == (UrlStatus.DISALLOWED, "robots")
    assert "/disallowed/x" not in found.other_asked


@pytest.mark.parametrize("path", ["/a8-private", "/a8-number", "/a8-v6"])
def test_origin_a8_a25_no_redirect_leads_inside(found: Found, path: str) -> None:
    record = found[path]
    assert (record.status, record.reason) == (UrlStatus.ERRORED, "blocked_destination")
    assert (record.html, record.final_url) == (None, None)


def test_origin_a8_a29_a_redirect_to_a_file_is_none(found: Found) -> None:
    assert (found["/a8-file"].status, found["/a8-file"].reason) == (UrlStatus.ERRORED, "bad_redirect")


def test_origin_a9_a_disallowed_target_is_not_asked_for(found: Found) -> None:
    assert (found["/a9"].status, found["/a9"].reason) == (UrlStatus.DISALLOWED, "robots")
    assert not [path for path in found.asked if path.startswith("/disallowed")]


def test_origin_a13_a_redirect_to_nowhere_is_an_error(found: Found) -> None:
    for status in (300, 301):
        assert (found[f"/a13-{status}"].status, found[f"/a13-{status}"].http_status) == (
            UrlStatus.ERRORED,
            status,
        )


def test_origin_a15_a31_a_refresh_is_a_link_or_followed(found: Found) -> None:
    record = found["/a15"]
    assert record.status is UrlStatus.COMPLETED
    assert record.title == ("a15 end" if found.render else "a15")
    assert "/a15-end" in found.asked


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/b1-404", 404, "gone"),
        ("/b1-500", 500, "oops"),
        ("/b1-402", 402, "pay"),
        ("/b15", 401, "who"),
        ("/b16-451", 451, "law"),
        ("/b22", 403, "no bots"),
    ],
)
def test_origin_b1_b15_b16_b22_d13_error_pages_are_kept(
    found: Found, path: str, status: int, title: str
) -> None:
    record = found[path]
    assert (record.status, record.http_status, record.title) == (UrlStatus.ERRORED, status, title)
    assert record.html
    assert "/from-error" not in found.asked


def test_origin_b16_a_status_that_nobody_defined(found: Found) -> None:
    assert found["/b16-600"].status is UrlStatus.ERRORED


@pytest.mark.parametrize("path", ["/b1b-never", "/c1", "/c2"])
def test_origin_b1b_c1_c2_d6_d7_what_never_ends_is_a_time_out(found: Found, path: str) -> None:
    record = found[path]
    assert (record.status, record.reason, record.http_status, record.html) == (
        UrlStatus.ERRORED, "timeout", None, None,
    )  # fmt: skip


def test_origin_b2_empty_pages_are_pages(found: Found) -> None:
    assert (found["/b2-204"].status, found["/b2-204"].http_status) == (UrlStatus.COMPLETED, 204)
    assert (found["/b2-empty"].status, found["/b2-empty"].http_status) == (UrlStatus.COMPLETED, 200)


def test_origin_b3_not_modified_without_a_question_is_an_error(found: Found) -> None:
    assert found["/b3"].status is UrlStatus.ERRORED


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/c3", "protocol_error"),
        ("/c5", "protocol_error"),
        ("/c6", "protocol_error"),
        ("/c8", "decode_error"),
        ("/c9", "too_large"),
        ("/c11", "protocol_error"),
        ("/c14-data", "unsupported_content"),
        ("/c14-film", "unsupported_content"),
        ("/c15", "download"),
        ("/c21", "dns_failure"),
        ("/c22", "protocol_error"),
    ],
)
def test_origin_c3_to_c22_d2_to_d12_broken_bodies_are_errors(found: Found, path: str, reason: str) -> None:
    record = found[path]
    assert (record.status, record.reason, record.html, record.markdown) == (
        UrlStatus.ERRORED,
        reason,
        None,
        None,
    )


def test_origin_c14_an_archive_is_no_page(found: Found) -> None:
    assert found["/c14-zip"].status is UrlStatus.ERRORED
    assert found["/c14-zip"].reason in ("download", "unsupported_content")


@pytest.mark.parametrize(
    ("path", "title"),
    [("/c7-gzip", "packed"), ("/c12", "sniffed"), ("/c17", "日本"), ("/c19", "hinted")],
)
def test_origin_c7_c12_c17_c19_odd_but_whole_answers_are_pages(found: Found, path: str, title: str) -> None:
    assert (found[path].status, found[path].title) == (UrlStatus.COMPLETED, title)


def test_origin_c13_text_is_not_read_as_html(found: Found) -> None:
    assert "/from-text" not in found.asked


def test_origin_c16_c18_d10_d11_nothing_stored_is_malformed(found: Found) -> None:
    assert found["/c18"].status is UrlStatus.COMPLETED
    for path in ("/c16", "/c18"):
        for stored in (found[path].html, found[path].markdown, found[path].title):
            assert "\0" not in (stored or "")
            (stored or "").encode()


@pytest.mark.parametrize(
    "path",
    ["/d1-base/in-base", "/d2-up", "/d3-blank", "/d3-a", "/d4-area", "/d4-frame", "/d6-canon", "/d7-same"],
)
def test_origin_d1_to_d7_what_is_a_link(found: Found, path: str) -> None:
    assert found[path].status is UrlStatus.COMPLETED


@pytest.mark.parametrize("path", ["/d4-form", "/d4-comment", "/d4-template"])
def test_origin_d2_d4_what_is_no_link(found: Found, path: str) -> None:
    assert path not in found.records
    assert not [
        url for url in found.records if url.startswith(("mailto:", "tel:", "data:", "javascript:", "ftp:"))
    ]


def test_origin_d7_other_hosts_are_skipped(found: Found) -> None:
    port = found.world.site.port
    for url in (
        f"http://evilsite.test:{port}/d7",
        "http://site.test.evil.test/d7",
        f"http://sub.site.test:{port}/d7",
    ):
        assert found[url].status is UrlStatus.SKIPPED


def test_origin_d12_f18_fragments_are_one_page(found: Found) -> None:
    assert found.asked.count("/d12-page") == 1
    assert [path for path in found.records if path.startswith("/d12-page")] == ["/d12-page"]


def test_origin_d14_credentials_in_links_are_neither_sent_nor_stored(found: Found) -> None:
    assert "secret@" not in "".join(found.records)
    assert found.world.site.header("Authorization").count(None) == len(found.world.site.heads)


def test_origin_d15_d17_links_of_a_page_are_bounded(found: Found) -> None:
    assert len([path for path in found.records if path.startswith("/excluded/")]) <= 200


def test_origin_e3_f18_a_path_that_grows_ends(found: Found) -> None:
    grown = [path for path in found.asked if path.startswith("/e3/")]
    assert 1 <= len(grown) <= 5


def test_origin_e6_a_honeypot_is_not_entered(found: Found) -> None:
    assert found["/disallowed/honeypot"].status is UrlStatus.DISALLOWED


def test_origin_e9_long_and_odd_urls_do_no_harm(found: Found) -> None:
    assert not [path for path in found.records if len(path) > 2048]
    assert len([path for path in found.records if path.startswith("/e9-")]) == 1


def test_f17_a_base_that_leads_inside_is_never_dialled(found: Found) -> None:
    inside = f"http://127.0.0.3:{found.world.canary.port}/in-private"
    assert inside not in found.records or found[inside].status is not UrlStatus.COMPLETED


async def test_c20_f8_cookies_are_the_crawls_own(world: World, render: bool) -> None:
    world.site.routes["/c20"] = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: secret=1\r\nContent-Length: 4\r\nContent-Type: text/html\r\n\r\n<p>x"
    )
    for _ in range(2):
        world.site.heads.clear()
        await world.crawl("/c20", render=render, limit=1, source="links")
        sent = [head for head in world.site.heads if head.startswith(b"GET /c20 ")]
        assert len(sent) == 1
        assert b"secret=1" not in sent[0]


async def test_origin_d10_d11_depth_and_limit_are_exact(world: World, render: bool) -> None:
    world.site.routes |= {f"/chain/{n}": f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
                          f"<a href=/chain/{n + 1}>x</a>".encode() for n in range(9)}  # fmt: skip
    _, records = await world.crawl("/chain/0", render=render, depth=2, limit=50, source="links")
    assert list(records) == ["/chain/0", "/chain/1", "/chain/2"]
    _, records = await world.crawl("/chain/0", render=render, limit=4, source="links")
    assert len(records) == 4


async def test_f14_g8_a_seed_that_robots_txt_forbids_is_a_crawl_of_one_record(
    world: World, render: bool
) -> None:
    view, records = await world.crawl("/disallowed/", render=render, limit=5)
    assert view.status is CrawlStatus.COMPLETED
    assert [record.status for record in records.values()] == [UrlStatus.DISALLOWED]
