from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.extract.document import Page, parse
from crawler.extract.metadata import MAX_META_CHARS
from tests.extract.cases import binary, load

URL = "http://site.test/dir/page"


def read(html: str | bytes, url: str = URL, max_links: int = 100) -> Page:
    return parse(html, content_type="text/html", url=url, max_links=max_links, max_url_chars=2048)


def links(html: str | bytes, url: str = URL) -> list[str]:
    return [link.url for link in read(html, url).links]


def test_title_is_decoded_collapsed_and_cut() -> None:
    assert read("<title> A &amp;\n B&#39;s </title>").title == "A & B's"
    assert read("<p>none").title == ""
    assert read("<svg><title>drawing</title></svg><title>page</title>").title == "page"
    assert len(read(f"<title>{'x' * 5_000_000}</title>").title) == MAX_META_CHARS


def test_d4_sources_of_links_in_document_order() -> None:
    html = """
    <link rel="Next" href="2"><link rel=stylesheet href=no.css><link rel="canonical" href="/canonical">
    <link rel=alternate hreflang=de href="/de"><link rel=alternate type="application/rss+xml" href=no.xml>
    <meta http-equiv=refresh content="5; URL='/refreshed'">
    <a href="a#part">a</a><map><area href="area"></map><iframe src="iframe"></iframe>
    <svg><a xlink:href="svg"></a></svg><noscript><a href="noscript">n</a></noscript>
    <!-- <a href="no"> --><template><a href="no">t</a></template><form action="no"><p data-href="no">
    """
    wanted = [
        "dir/2",
        "canonical",
        "de",
        "refreshed",
        "dir/a",
        "dir/area",
        "dir/iframe",
        "dir/svg",
        "dir/noscript",
    ]
    assert links(html) == [f"http://site.test/{path}" for path in wanted]


def test_d4_frames() -> None:
    assert links("<frameset><frame src=one><frame src=two></frameset>") == [
        "http://site.test/dir/one",
        "http://site.test/dir/two",
    ]


def test_d2_d3_only_other_pages_are_links() -> None:
    html = "".join(
        f'<a href="{href}">x</a>'
        for href in [
            "",
            "#",
            "#x",
            "?",
            "mailto:a@b",
            "tel:1",
            "data:,x",
            "javascript:1",
            "about:blank",
            "ftp://h/",
        ]
    )
    assert links(html) == ["http://site.test/dir/page?"]
    assert links('<a href="HtTp://Other.test">x</a><a href=" /a\n b ">y</a><a>z</a>') == [
        "http://other.test/",
        "http://site.test/a%20b",
    ]


def test_links_are_given_once() -> None:
    assert links("<a href=x>1</a><a href=./x>2</a><a href=x#y>3</a>") == ["http://site.test/dir/x"]


@pytest.mark.parametrize(
    ("base", "wanted"),
    [
        ('<base href="/x/">', "http://site.test/x/a"),
        ('<base target=_top><base href="/x/"><base href="/y/">', "http://site.test/x/a"),
        ('<base href="http://other.test/y/">', "http://other.test/y/a"),
        ('<base href="javascript:1">', "http://site.test/dir/a"),
        ('<base href="">', "http://site.test/dir/a"),
    ],
)
def test_d1_base(base: str, wanted: str) -> None:
    assert links(f"{base}<a href=a>x</a>") == [wanted]


def test_a15_a16_refresh_and_base_of_the_w3lib_suite() -> None:
    agreed = total = 0
    for case in load("urls/w3lib_base_and_meta_refresh.json")["cases"]:
        body, *rest = case["args"]
        url = binary(rest[0]).decode() if rest and rest[0] else "http://example.org/"
        page = read(binary(body), url)
        if case["fn"] == "get_base_url":
            # Without a URL of its own a page has no base at all there; ours always has one.
            agreed += page.base_url == (case["result"] or url)
        else:
            target = case["result"][1] if case["result"] else None
            agreed += (page.links[0].url if page.links else None) == target
        total += 1
    # The rest: `noscript`, which counts here because no scripts run, and text that no HTML parser takes for a tag.
    assert agreed >= total - 9


def test_a16_refresh_to_itself_is_no_link() -> None:
    assert links('<meta http-equiv=refresh content="0"><meta http-equiv=refresh content="3;url=page">') == []


@pytest.mark.slow
def test_d17_links_beyond_the_limit_are_counted() -> None:
    page = read("".join(f'<a href="/p/{number}">' for number in range(1_000_000)), max_links=5_000)
    assert len(page.links) == 5_000
    assert page.links[0].url == "http://site.test/p/0"
    assert page.links_dropped == 995_000


def test_metadata() -> None:
    metadata = read(
        '<html lang="de"><meta name="Description" content=" D\n d "><meta name=robots content="noindex">'
        '<meta property="og:type" content="article"><meta property="og:type" content="second">'
        '<link rel="canonical" href="/c#x">'
    ).metadata
    assert metadata.description == "D d"
    assert metadata.language == "de"
    assert metadata.robots == "noindex"
    assert metadata.canonical == "http://site.test/c"
    assert dict(metadata.open_graph) == {"og:type": "article"}


def test_bytes_are_decoded_by_what_they_declare() -> None:
    page = read('<meta charset="koi8-r"><title>Привет</title>'.encode("koi8-r"))
    assert page.title == "Привет"
    assert "Привет" in page.html


def test_d11_text_that_cannot_be_stored() -> None:
    page = read(f'<title>a\0b&#xD800;c\ud800</title><a href="/x\0y">l</a><p title="{"x" * 5_000_000}">')
    assert page.title == "ab\ufffdc\ufffd"
    assert "\0" not in page.html
    assert [link.url for link in page.links] == ["http://site.test/xy"]
    page.html.encode()


@given(st.text(alphabet="<>/=\"' abhrefmtcon#:.\n", max_size=200))
def test_any_markup_gives_absolute_links(html: str) -> None:
    assert all(
        link.startswith(("http://", "https://")) and "#" not in link
        for link in links(f"<a href={html}>{html}")
    )
