"""Difficult origins, part A: redirects. One record for the URL that was asked for, and the crawl goes on."""

from __future__ import annotations

import pytest

from crawler.model import CrawlStatus, UrlStatus
from tests.fetch.origins import redirect
from tests.fetch.test_http import endless
from tests.origins.conftest import Found
from tests.origins.site import END, Reply, Site, text

pytestmark = pytest.mark.slow

#: Bytes of the endless redirect that somebody took, over both crawls.
A18_SENT = [0]


def _door(head: bytes) -> bytes:
    """Opens for whoever brings the cookie that it gave."""
    if b"seen=1" in head:
        return text("<title>in</title>")
    return redirect("/a5", "302 Found", "Set-Cookie: seen=1")


SITE = Site(
    rows={
        "/a1": redirect("/a1-end", "301 Moved"),
        "/a2": redirect("/a2-1", "301 Moved"),
        "/a3": redirect("/a3?1"),
        "/a4": redirect("/a4"),
        "/a5": Reply(_door),
        "/a6": redirect("{other}/a6-end"),
        "/a8-invalid": redirect("http://exa mple/"),
        "/a8-private": redirect("http://127.0.0.3:{canary}/"),
        "/a8-file": redirect("file:///etc/passwd"),
        "/a8-number": redirect("http://2130706435:{canary}/"),
        "/a8-v6": redirect("http://[::1]:{canary}/"),
        "/a9": redirect("/disallowed/x"),
        "/a10": redirect("/excluded/x"),
        "/a11/x/y": redirect("../z?q=1#frag"),
        # The bytes of UTF-8 as they are.
        "/a12-utf8": redirect("/a12-\u00c3\u00a9"),
        "/a12-blank": redirect("/a12 end"),
        "/a12-encoded": redirect("/a12-%0d%0aX-Injected:%201"),
        "/a12-cr": redirect("/a12-cut\rX-Injected: 1"),
        "/a13-301": text("<title>nowhere</title>", status="301 Moved"),
        "/a13-300": text("<title>choose</title>", status="300 Multiple Choices"),
        "/a15": text("<title>a15</title><meta http-equiv=refresh content='0;url=/a15-end'>"),
        "/a16-later": text(
            "<title>a16</title><meta http-equiv=refresh content=\"60; URL='/a16-later-end'\">"
        ),
        "/a16-bare": text("<title>a16</title><meta http-equiv=refresh content='0;/a16-bare-end'>"),
        "/a16-soon": text("<title>a16</title><meta http-equiv=refresh content='1;/a16-soon-end'>"),
        "/a16-self": text("<title>self</title><meta http-equiv=refresh content=0>"),
        "/a17": text("<title>a17</title><script>location.replace('/a17-end')</script>"),
        "/a17-push": text(
            "<title>a17</title><a href=a17-base>x</a><script>history.pushState(0, '', '/a17-pushed/y')</script>"
        ),
        "/a17-hash": text("<title>a17</title><script>location.hash = 'part'</script>"),
        "/a18": endless(
            b"HTTP/1.1 302 Found\r\nLocation: /a18-end\r\nContent-Length: 1073741824\r\n\r\n",
            bytes(65536),
            A18_SENT,
        ),
        "/a33": redirect("{other}/disallowed/x"),
    },
    more={
        "/a3?1": redirect("/a3"),
        **{
            f"/a2-{step}": redirect(f"/a2-{step + 1}", status)
            for step, status in enumerate(("302 Found", "303 Other", "307 Temporary", "308 Permanent"), 1)
        },
        **dict.fromkeys(("/a1-end", "/a2-5", "/a11/z?q=1", "/a12-%C3%A9", "/a12%20end", "/a15-end"), END),
        **dict.fromkeys(("/a12-%0d%0aX-Injected:%201", "/a16-later-end"), END),
        **dict.fromkeys(("/a16-bare-end", "/a16-soon-end"), END),
        **dict.fromkeys(("/a17-end", "/a17-base", "/a17-pushed/a17-base", "/a18-end"), END),
    },
    elsewhere={"/a6-end": text("<title>off site</title><a href=/from-other>x</a>")},
    links=("/a1-end",),
)


def test_the_crawl_ends_and_counts_every_page(found: Found) -> None:
    assert found.view.status is CrawlStatus.COMPLETED
    assert found.view.total == found.view.finished
    assert found.view.queued == found.view.cancelled == 0


def test_nobody_met_the_canary(found: Found) -> None:
    assert found.world.canary.hits == []


@pytest.mark.parametrize(
    ("path", "final"),
    [
        ("/a1", "/a1-end"),
        ("/a2", "/a2-5"),
        ("/a11/x/y", "/a11/z?q=1"),
        ("/a12-utf8", "/a12-%C3%A9"),
        ("/a12-blank", "/a12%20end"),
        ("/a12-encoded", "/a12-%0d%0aX-Injected:%201"),
        ("/a18", "/a18-end"),
    ],
)
def test_origin_a1_a2_a11_a12_a18_redirects_are_recorded_where_they_started(
    found: Found, path: str, final: str
) -> None:
    record = found[path]
    assert (record.status, record.http_status, record.title) == (UrlStatus.COMPLETED, 200, "end")
    assert record.final_url == found.world.url(final)


def test_origin_a1_a_target_that_is_linked_too_has_a_record_of_its_own(found: Found) -> None:
    """Two URLs, two records; the text is stored once, under its digest."""
    assert found["/a1"].html == found["/a1-end"].html
    assert found["/a1-end"].final_url == found.world.url("/a1-end")


@pytest.mark.parametrize("path", ["/a3", "/a4"])
def test_origin_a3_a4_a28_loops_end(found: Found, path: str) -> None:
    assert (found[path].status, found[path].reason) == (UrlStatus.ERRORED, "too_many_redirects")
    assert found.asked.count(path) <= 12


def test_origin_a5_a_door_that_a_cookie_opens(found: Found) -> None:
    assert (found["/a5"].status, found["/a5"].title) == (UrlStatus.COMPLETED, "in")
    assert found.asked.count("/a5") == 2


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


@pytest.mark.parametrize("path", ["/a8-file", "/a8-invalid"])
def test_origin_a8_a29_a_redirect_to_what_is_no_page_is_none(found: Found, path: str) -> None:
    assert (found[path].status, found[path].reason) == (UrlStatus.ERRORED, "bad_redirect")


def test_origin_a9_a_disallowed_target_is_not_asked_for(found: Found) -> None:
    assert (found["/a9"].status, found["/a9"].reason) == (UrlStatus.DISALLOWED, "robots")
    assert not [path for path in found.asked if path.startswith("/disallowed")]


def test_origin_a10_an_excluded_target_is_not_asked_for(found: Found) -> None:
    assert (found["/a10"].status, found["/a10"].reason) == (UrlStatus.SKIPPED, "excluded")
    assert not [path for path in found.asked if path.startswith("/excluded")]


def test_origin_a12_no_location_adds_a_header(found: Found) -> None:
    assert set(found.world.site.header("X-Injected")) == {None}
    record = found["/a12-cr"]
    assert (record.status, record.reason) == (UrlStatus.ERRORED, "protocol_error")


def test_origin_a13_a_redirect_to_nowhere_is_an_error(found: Found) -> None:
    for status in (300, 301):
        assert (found[f"/a13-{status}"].status, found[f"/a13-{status}"].http_status) == (
            UrlStatus.ERRORED,
            status,
        )


@pytest.mark.parametrize("path", ["/a15", "/a16-bare", "/a16-soon"])
def test_origin_a15_a16_a31_a_refresh_is_a_link_or_followed(found: Found, path: str) -> None:
    record = found[path]
    assert record.status is UrlStatus.COMPLETED
    assert record.title == ("end" if found.render else path[1:4])
    assert f"{path}-end" in found.asked


def test_origin_a16_a_refresh_later_is_a_link(found: Found) -> None:
    record = found["/a16-later"]
    assert (record.title, record.final_url) == ("a16", found.world.url("/a16-later"))
    assert found["/a16-later-end"].status is UrlStatus.COMPLETED


def test_origin_a16_a_refresh_to_itself_ends(found: Found) -> None:
    """To a browser without a limit it is an endless loop; without scripts it is a page."""
    record = found["/a16-self"]
    expected = (UrlStatus.ERRORED, "too_many_redirects") if found.render else (UrlStatus.COMPLETED, "")
    assert (record.status, record.reason) == expected
    assert found.asked.count("/a16-self") <= 12


def test_origin_a17_redirects_by_script_are_followed_where_scripts_run(found: Found) -> None:
    record = found["/a17"]
    assert record.status is UrlStatus.COMPLETED
    assert (record.title, record.final_url) == (
        ("end", found.world.url("/a17-end")) if found.render else ("a17", found.world.url("/a17"))
    )
    assert ("/a17-end" in found.asked) == found.render


def test_origin_a17_other_addresses_of_a_document_are_not_recorded_and_resolve_its_links(
    found: Found,
) -> None:
    for path in ("/a17-push", "/a17-hash"):
        assert (found[path].status, found[path].final_url) == (UrlStatus.COMPLETED, found.world.url(path))
    assert (found.asked.count("/a17-pushed/a17-base"), found.asked.count("/a17-base")) == (
        (1, 0) if found.render else (0, 1)
    )
    resolved = "/a17-pushed/a17-base" if found.render else "/a17-base"
    assert (found["/a17-push"].markdown or "").endswith(f"[x]({found.world.url(resolved)})")


def test_origin_a18_the_body_of_a_redirect_is_not_read(found: Found) -> None:
    """A few MiB lie in the buffers of sockets before the origin hears that nobody reads."""
    assert found["/a18"].status is UrlStatus.COMPLETED
    assert A18_SENT[0] < 32 << 20
