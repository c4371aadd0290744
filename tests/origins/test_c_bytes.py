"""Difficult origins, part C: bytes on the wire."""

from __future__ import annotations

import gzip

import pytest

from crawler.model import CrawlStatus, UrlStatus
from tests.fetch.origins import page, redirect
from tests.fetch.test_http import drip, endless, script
from tests.origins.conftest import Found, World
from tests.origins.site import HEAD, HTML, Site, text

pytestmark = pytest.mark.slow

#: Bytes of the endless page that somebody took, over both crawls.
C10_SENT = [0]
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\0"

SITE = Site(
    rows={
        "/b1b-never": script(then_wait=True),
        "/c1": drip(HEAD + b"Content-Length: 1000000\r\n\r\n", 0.2),
        "/c1-head": drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", 0.2),
        "/c2": script(HEAD + b"Content-Length: 9\r\n\r\n", then_wait=True),
        "/c3": script(HEAD + b"Content-Length: 99\r\n\r\n<p>half"),
        "/c4": page(b"<title>whole</title>", HTML) + text("<title>smuggled</title>"),
        "/c5": script(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n<p>half"),
        "/c6": page(b"4\r\nhalf\r\n0\r\n\r\n", HTML, "Transfer-Encoding: chunked"),
        "/c7-gzip": page(gzip.compress(b"<title>packed</title>"), HTML, "Content-Encoding: gzip"),
        "/c8": page(b"<title>plain</title>", HTML, "Content-Encoding: gzip"),
        "/c9": page(gzip.compress(b"<p>" + b" " * (16 << 20)), HTML, "Content-Encoding: gzip"),
        "/c10": endless(HEAD + b"Content-Length: 524288000\r\n\r\n", b"<p>more</p>" * 6000, C10_SENT),
        "/c11": page(b"x", HTML, *(f"X-{n}: {'a' * 10_000}" for n in range(190))),
        "/c12": page(b"<!DOCTYPE html><title>sniffed</title>"),
        "/c13": page(b"<title>no</title><a href=/from-text>x</a>", "Content-Type: text/plain"),
        "/c14-data": page(b"\x7fELF\x02\x01", "Content-Type: application/octet-stream"),
        "/c14-film": page(b"\0\0\0\x18ftypmp42", "Content-Type: video/mp4"),
        "/c14-zip": page(b"PK\x03\x04", "Content-Type: application/zip"),
        "/c15": text("<title>file</title>", "Content-Disposition: attachment; filename=x.html"),
        "/c14-style": page(b"p { color: red }", "Content-Type: text/css"),
        "/c16-html": page(b"<title>no</title><a href=/from-image>x</a>", "Content-Type: image/png"),
        "/c16-png": page(PNG, HTML),
        "/c16-pdf": page(b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", HTML),
        "/c16-zip": page(b"PK\x03\x04\x14\0\0\0\x08\0", "Content-Type: text/html; charset=utf-8"),
        "/c16-elf": page(b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0>\0", HTML),
        # Like one of them, and yet a page: what a browser makes of a stray byte is for it to say.
        "/c16-page": page(
            b"plain words \x03 and a <b>bold</b> one<script>document.title='run'</script>", HTML
        ),
        "/c17": page(
            "<title>日本</title><p>田中".encode("shift_jis"), "Content-Type: text/html; charset=Shift_JIS"
        ),
        "/c18": page(b"<title>a&#xD800;b</title><p>x\0y\xff<p title=" + b"t" * 100_000 + b">z", HTML),
        "/c19": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + text("<title>hinted</title>"),
        "/c21": redirect("http://nowhere.unknown-zone.test/"),
        "/c22": script(),
    },
)


def test_the_crawl_ends_and_counts_every_page(found: Found) -> None:
    assert found.view.status is CrawlStatus.COMPLETED
    assert found.view.total == found.view.finished
    assert found.view.queued == found.view.cancelled == 0


@pytest.mark.parametrize("path", ["/b1b-never", "/c1", "/c1-head", "/c2"])
def test_origin_b1b_c1_c2_d6_d7_what_never_ends_is_a_time_out(found: Found, path: str) -> None:
    record = found[path]
    assert (record.status, record.reason, record.http_status, record.html) == (
        UrlStatus.ERRORED, "timeout", None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/c3", "protocol_error"),
        ("/c5", "protocol_error"),
        ("/c6", "protocol_error"),
        ("/c8", "decode_error"),
        ("/c9", "too_large"),
        ("/c10", "too_large"),
        ("/c11", "protocol_error"),
        ("/c14-data", "unsupported_content"),
        ("/c14-film", "unsupported_content"),
        ("/c14-style", "unsupported_content"),
        ("/c15", "download"),
        ("/c16-png", "unsupported_content"),
        ("/c16-pdf", "unsupported_content"),
        ("/c16-zip", "unsupported_content"),
        ("/c16-elf", "unsupported_content"),
        ("/c21", "dns_failure"),
        ("/c22", "protocol_error"),
    ],
)
def test_origin_c3_to_c22_d2_to_d12_broken_bodies_are_errors(found: Found, path: str, reason: str) -> None:
    record = found[path]
    assert (record.status, record.reason) == (UrlStatus.ERRORED, reason)
    assert (record.html, record.markdown) == (None, None)


def test_origin_c4_what_comes_after_a_body_is_nobodys_page(found: Found) -> None:
    assert (found["/c4"].status, found["/c4"].title) == (UrlStatus.COMPLETED, "whole")
    assert "smuggled" not in {record.title for record in found.records.values()}


def test_origin_c10_no_more_is_taken_of_a_page_without_end_than_may_be(found: Found) -> None:
    assert C10_SENT[0] < 40 << 20


def test_origin_c14_an_archive_is_no_page(found: Found) -> None:
    assert found["/c14-zip"].status is UrlStatus.ERRORED
    assert found["/c14-zip"].reason in ("download", "unsupported_content")


@pytest.mark.parametrize(
    ("path", "title"),
    [("/c7-gzip", "packed"), ("/c12", "sniffed"), ("/c17", "日本"), ("/c19", "hinted")],
)
def test_origin_c7_c12_c17_c19_odd_but_whole_answers_are_pages(found: Found, path: str, title: str) -> None:
    assert (found[path].status, found[path].title) == (UrlStatus.COMPLETED, title)


def test_origin_c13_c16_what_is_not_html_is_not_read_as_html(found: Found) -> None:
    assert found["/c16-html"].html is None
    assert not {"/from-text", "/from-image"} & set(found.asked)


def test_origin_c16_d10_text_with_a_stray_byte_is_a_page(found: Found) -> None:
    record = found["/c16-page"]
    assert (record.status, record.title) == (UrlStatus.COMPLETED, "run" if found.render else "")
    assert "**bold**" in (record.markdown or "")


def test_origin_c18_d11_nothing_stored_is_malformed(found: Found) -> None:
    assert found["/c18"].status is UrlStatus.COMPLETED
    for path in ("/c16-page", "/c18"):
        for stored in (found[path].html, found[path].markdown, found[path].title):
            assert "\0" not in (stored or "")
            (stored or "").encode()


async def test_c20_f8_cookies_are_the_crawls_own(world: World, render: bool) -> None:
    """On a host of their own: that of the rows has failed so often that it is left alone for a while."""
    world.site.routes["/c20"] = text("<p>x", "Set-Cookie: secret=1")
    for _ in range(2):
        world.site.heads.clear()
        await world.crawl("/c20", "h1.site.test", render=render, limit=1, source="links")
        sent = [head for head in world.site.heads if head.startswith(b"GET /c20 ")]
        assert len(sent) == 1
        assert b"secret=1" not in sent[0]
