"""Sitemaps: every format, and files that are broken or made to hurt."""

from __future__ import annotations

import gzip
import logging
import tempfile
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import sitemaps
from crawler.sitemaps import BadSitemap, Sitemap, SitemapEntry

AT = "https://site.test/sitemap.xml"
NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def read(body: str | bytes, *, max_urls: int = 1_000, max_bytes: int = 1 << 20) -> Sitemap | BadSitemap:
    content = body.encode() if isinstance(body, str) else body
    return sitemaps.parse(content, url=AT, max_urls=max_urls, max_bytes=max_bytes)


def good(body: str | bytes, *, max_urls: int = 1_000, max_bytes: int = 1 << 20) -> Sitemap:
    found = read(body, max_urls=max_urls, max_bytes=max_bytes)
    assert isinstance(found, Sitemap), found
    return found


def paths(found: Sitemap) -> list[str]:
    return [page.url.removeprefix("https://site.test") for page in found.pages]


def urlset(*entries: str, attributes: str = NAMESPACE) -> str:
    body = "".join(f"<url>{entry}</url>" for entry in entries)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {attributes}>{body}</urlset>'


def loc(path: str) -> str:
    return f"<loc>https://site.test{path}</loc>"


def index(*locations: str) -> str:
    body = "".join(f"<sitemap><loc>{location}</loc></sitemap>" for location in locations)
    return f"<sitemapindex {NAMESPACE}>{body}</sitemapindex>"


def test_f61_pages_come_by_priority_then_in_order() -> None:
    found = good(
        urlset(
            loc("/low") + "<priority>0.1</priority>",
            loc("/first"),
            loc("/high") + "<priority>1.0</priority>",
            loc("/second") + "<priority>0.5</priority>",
            loc("/odd") + "<priority>7</priority>",
            loc("/nan") + "<priority>NaN</priority>",
            loc("/first") + "<priority>0.9</priority>",
        )
    )
    assert paths(found) == ["/high", "/first", "/second", "/odd", "/nan", "/low"]
    assert [page.priority for page in found.pages] == [1.0, 0.5, 0.5, 0.5, 0.5, 0.1]
    assert found.children == ()


def test_urls_are_serialised_and_each_listed_once() -> None:
    found = good(
        urlset(
            "<loc>\n  https://SITE.test/a b#top\n</loc>",
            loc("/a%20b"),
            "<loc>/relative</loc>",
            "<loc>https://user:secret@site.test/x</loc>",
            "<loc>https://other.test</loc>",
        )
    )
    assert [page.url for page in found.pages] == [
        "https://site.test/a%20b",
        "https://site.test/relative",
        "https://site.test/x",
        "https://other.test/",
    ]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/?a=1&amp;b=2", "/?a=1&b=2"),
        ("/?a=1&amp;copy=2&amp;lt=3", "/?a=1&copy=2&lt=3"),
        ("/?a=1&#38;copy=2&#x26;reg=3", "/?a=1&copy=2&reg=3"),
        ("/?a=&amp;amp;", "/?a=&amp;"),
        ("<![CDATA[/?a=1&copy=2]]>", "/?a=1&copy=2"),
        ("/?q=&quot;&apos;", "/?q=%22%27"),
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/&amp;#x0;", "/&"),
    ],
)
def test_e17_entities_are_undone_once(written: str, path: str) -> None:
    before = "<![CDATA[" if written.startswith("<") else ""
    location = f"<loc>{before}https://site.test{written.removeprefix(before)}</loc>"
    assert paths(good(urlset(location))) == [path]


def test_e17_entries_that_are_no_page_are_left_out() -> None:
    bad = ("javascript:1", "ftp://site.test/", "https://", "", "x" * 3_000, "https://site.test:99999/")
    found = good(
        urlset(*(f"<loc>{text}</loc>" for text in bad[:3]), *(f"<loc>{t}</loc>" for t in bad[4:]), loc("/ok"))
    )
    assert paths(found) == ["/ok"]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-05-01", datetime(2024, 5, 1, tzinfo=UTC)),
        (" 2024-05-01T10:00:00Z ", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00+02:00", datetime(2024, 5, 1, 10, tzinfo=timezone(timedelta(hours=2)))),
        ("2024-05-01T10:00:00.5Z", datetime(2024, 5, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2024-05", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2024", datetime(2024, 1, 1, tzinfo=UTC)),
        ("<![CDATA[2024-05-01]]>", datetime(2024, 5, 1, tzinfo=UTC)),
        ("2999-01-01", datetime(2999, 1, 1, tzinfo=UTC)),
        *((text, None) for text in ("99999-01-01", "-5", "12", "garbage 12", "2024-13-01", "yesterday", "")),
        *((text, None) for text in ("9" * 30, f"<![CDATA[{'9' * 30}]]>", "10:00 XYZ")),
    ],
)
def test_e19_dates(text: str, date: datetime | None) -> None:
    entry = SitemapEntry("https://site.test/a", date, 0.5)
    assert good(urlset(loc("/a") + f"<lastmod>{text}</lastmod>")).pages == (entry,)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_temporary_folder_is_no_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # usp keeps its pages in a temporary file, and its destructor stumbles when it could not write one.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert read(urlset(loc("/a"))) == BadSitemap("It cannot be read: FileNotFoundError.")


def test_an_index_lists_its_children_once_and_not_itself() -> None:
    found = good(
        index(
            "https://site.test/1.xml", AT, "https://cdn.test/2.xml.gz", "https://site.test/1.xml", "ftp://x/"
        )
    )
    assert found == Sitemap((), ("https://site.test/1.xml", "https://cdn.test/2.xml.gz"))


def test_a_list_and_an_index_in_one_file() -> None:
    found = good(urlset(loc("/a")) + "\n" + index("https://site.test/1.xml"))
    assert paths(found) == ["/a"]
    assert found.children == ("https://site.test/1.xml",)


@pytest.mark.parametrize(
    "junk", ["<html></html>", "text", "<!DOCTYPE x []><urlset></urlset>", urlset(loc("/b"))[:-5]]
)
def test_junk_after_a_sitemap_is_dropped(junk: str) -> None:
    assert paths(good(urlset(loc("/a")) + junk)) == ["/a"]


@pytest.mark.parametrize(
    "body",
    [
        urlset(loc("/a"), attributes=""),
        urlset(loc("/a"), attributes='xmlns="http://www.google.com/schemas/sitemap/0.84"'),
        "\n\n " + urlset(loc("/a")),
        "\ufeff" + urlset(loc("/a")),
        '<s:urlset xmlns:s="http://www.sitemaps.org/schemas/sitemap/0.9"><s:url><s:loc>https://site.test/a</s:loc>'
        "</s:url></s:urlset>",
        urlset(loc("/a")).replace("UTF-8", "utf-16").encode("utf-16"),
        urlset(loc("/a")).encode("utf-16-be"),
        urlset(loc("/a")).replace("UTF-8", "iso-8859-1").encode("latin-1"),
        urlset(loc("/a")).replace("UTF-8", "no-such-encoding"),
        gzip.compress(urlset(loc("/a")).encode()),
        '<rss version="2.0"><channel><title>t</title><link>https://site.test/</link><item><title>a</title>'
        "<link>https://site.test/a</link><pubDate>99999999999999999999</pubDate></item></channel></rss>",
        '<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title><entry><title>a</title>'
        '<link href="https://site.test/a"/><updated>99999999999999999999</updated></entry></feed>',
        "https://site.test/a\r\n\r\nnot a URL\nhttps://site.test/a\n",
    ],
    ids=[
        "no namespace",
        "old namespace",
        "blanks",
        "BOM",
        "prefix",
        "UTF-16",
        "UTF-16 unsaid",
        "Latin-1",
        "unknown encoding",
        "gzip",
        "RSS",
        "Atom",
        "text",
    ],
)
def test_formats(body: str | bytes) -> None:
    assert good(body).pages == (SitemapEntry("https://site.test/a", None, 0.5),)


def test_the_declared_encoding_is_used() -> None:
    body = urlset(loc("/\u043f")).replace("UTF-8", "windows-1251").encode("windows-1251")
    assert paths(good(body)) == ["/%D0%BF"]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "body",
    [
        f'<!DOCTYPE x [<!ENTITY l0 "lol">{LAUGHS}]><urlset><url><loc>&l9;</loc></url></urlset>',
        f'<!DOCTYPE x [<!ENTITY q "{"a" * 65_536}">]><urlset><url><loc>{"&q;" * 1_000}</loc></url></urlset>',
        '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>',
        '<!DOCTYPE x [<!ENTITY % x SYSTEM "http://127.0.0.3/x"> %x;]><urlset></urlset>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.3/x.dtd"><urlset></urlset>',
        "<!DOCTYPE urlset><urlset></urlset>",
        '\ufeff<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x []><urlset></urlset>'.encode("utf-16-le"),
    ],
    ids=["laughs", "quadratic", "file", "parameter", "external", "plain", "UTF-16"],
)
def test_e12_e13_a_dtd_is_refused(body: str | bytes) -> None:
    assert read(body) == BadSitemap("It declares a DTD.")


def test_e13_nothing_is_included() -> None:
    body = urlset(
        '<loc>https://site.test/<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname" '
        'parse="text"/></loc>'
    ).replace("\n", '\n<?xml-stylesheet href="http://127.0.0.3/x.xsl"?>', 1)
    assert all(page.url == "https://site.test/" for page in good(body).pages)


@pytest.mark.parametrize(
    "body",
    [
        *(
            urlset(loc("/a"))[:-20],
            urlset(loc("/a"))[:-1],
            "<urlset><url></urlset>",
            "<urlset>&nbsp;</urlset>",
        ),
        *("<html><head></head></html>", "<!doctype html><html>", "<urlset>" + "<a>" * 100_000),
        *(
            "",
            "   ",
            '{"url": "https://site.test/a"}',
            bytes(range(256)),
            "\0" * 100,
            b"\x1f\x8b",
            b"\x1f\x8bx",
        ),
        *(
            gzip.compress(urlset(loc("/a")).encode())[:-9],
            gzip.compress(gzip.compress(urlset(loc("/a")).encode())),
        ),
        f"<urlset>{urlset(loc('/a'))}</urlset>",
    ],
)
def test_e18_what_is_no_sitemap_is_refused(body: str | bytes) -> None:
    found = read(body)
    assert isinstance(found, BadSitemap)
    assert found.reason.endswith(".")


def test_e18_the_depth_limit_is_the_named_one() -> None:
    inside = urlset(loc("/a") + "<x>" * 98 + "</x>" * 98)
    assert paths(good(inside)) == ["/a"]
    assert isinstance(read(urlset(loc("/a") + "<x>" * 99 + "</x>" * 99)), BadSitemap)


def test_e14_gzip_stops_at_the_limit() -> None:
    body = urlset(loc("/a"), "<!--" + " " * 10_000 + "-->" + loc("/b"))
    assert paths(good(gzip.compress(body.encode()), max_bytes=len(body))) == ["/a", "/b"]
    for data in (body.encode(), gzip.compress(body.encode()), gzip.compress(b"\0" * (64 << 20))):
        assert read(data, max_bytes=len(body) - 1) == BadSitemap(f"It is larger than {len(body) - 1} bytes.")


def test_e14_a_name_does_not_make_gzip() -> None:
    found = sitemaps.parse(urlset(loc("/a")).encode(), url="https://site.test/sitemap.xml.gz", max_urls=9)
    assert isinstance(found, Sitemap)
    assert len(found.pages) == 1


@pytest.mark.parametrize(
    "body",
    [
        urlset(*(loc(f"/{number}") for number in range(2_000))),
        urlset(*(loc(f"/{number}") for number in range(2_000)))[:-50],
        "\n".join(f"https://site.test/{number}" for number in range(2_000)),
        "<rss><channel><title>t</title>"
        + "".join(f"<item><title>a</title><link>https://site.test/{n}</link></item>" for n in range(2_000))
        + "</channel></rss>",
    ],
    ids=["urlset", "cut off later", "text", "RSS"],
)
def test_e16_entries_past_the_limit_are_not_read(body: str) -> None:
    assert paths(good(body, max_urls=100)) == [f"/{number}" for number in range(100)]
    assert len(good(urlset(*(loc(f"/{number}") for number in range(100))), max_urls=100).pages) == 100


def test_e15_an_index_has_at_most_1000_children() -> None:
    found = good(index(*(f"https://site.test/{number}.xml" for number in range(5_000))), max_urls=50_000)
    assert len(found.children) == 1_000


def test_e21_alternate_links_past_the_limit_end_the_list() -> None:
    link = '<xhtml:link rel="alternate" hreflang="de" href="https://site.test/de"/>'
    attributes = f'{NAMESPACE} xmlns:xhtml="http://www.w3.org/1999/xhtml"'
    few = urlset(loc("/a") + link * 20, loc("/b") + link * 20, attributes=attributes)
    assert paths(good(few, max_urls=10)) == ["/a", "/b"]
    many = urlset(loc("/a") + link * 20, loc("/b") + link * 300, loc("/c"), attributes=attributes)
    assert paths(good(many, max_urls=10)) == ["/a"]


@pytest.mark.slow
def test_e21_a_million_elements_take_seconds_and_no_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    body = urlset(loc("/a"), loc("/b") + "<link/>" * 1_000_000)
    start = time.thread_time()
    with caplog.at_level(logging.DEBUG):
        found = good(body, max_urls=50_000, max_bytes=50 << 20)
    assert time.thread_time() - start < 20
    assert paths(found)[0] == "/a"
    assert caplog.records == []


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: urlset(f"<loc>{text}</loc>").encode())
)
def test_no_bytes_raise(body: bytes) -> None:
    found = read(body)
    if isinstance(found, Sitemap):
        assert all(
            page.url.startswith(("http://", "https://")) and page.url.isascii() for page in found.pages
        )


@given(
    st.lists(
        st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="<>"), max_size=20)
    )
)
def test_a_query_survives_escaping(queries: list[str]) -> None:
    from urllib.parse import quote
    from xml.sax.saxutils import escape

    wanted = [
        f"https://site.test/{number}?a&{quote(query, safe='&;=')}" for number, query in enumerate(queries)
    ]
    found = good(urlset(*(f"<loc>{escape(url)}</loc>" for url in wanted)))
    assert [page.url for page in found.pages] == wanted
