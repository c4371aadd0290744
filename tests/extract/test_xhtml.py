"""XHTML sent as XML: an HTML parser reads it as an XML parser would."""

from __future__ import annotations

import time
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from crawler.extract.converter import INLINE_CHARS, Converter, Extract
from crawler.extract.document import parse
from crawler.extract.view import FULL
from crawler.extract.xhtml import rewrite_as_html
from crawler.settings import Settings
from crawler.structured.page import read_structured_data

URL = "http://site.test/"
TYPE = "application/xhtml+xml; charset=utf-8"
OPENING = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>X page</title>'
PAGE = (
    f'{OPENING}<script src="/s.js"/></head><body><p>Text here</p><p><a href="/ok">link</a></p></body></html>'
)


@pytest.mark.parametrize(
    ("xhtml", "html"),
    [
        ('<script src="/s.js"/>', '<script src="/s.js"/></script>'),
        ("<p><i class='a'\n/>x</p>", "<p><i class='a'\n/></i>x</p>"),
        ("<textarea/><x:y />", "<textarea/></textarea><x:y /></x:y>"),
        ('<a name="a > /> b"/>', '<a name="a > /> b"/></a>'),
        ("<a name = '\"/>'/>", "<a name = '\"/>'/></a>"),
        ("<br/><hr /><IMG src='i'/><meta a='b'/>", None),
        ("<a href=/d/>not XML</a>", None),
        ("<a href='x/'>x</a/>", None),
        ("<!-- <p/> --><?x <p/> ?><p title='<!--'>x</p>", None),
        ("<script>'<p/>' <!-- <p/> --></script>", None),
        ("<p>a<![CDATA[ <b/> & ]]>c</p>", "<p>a &lt;b/&gt; &amp; c</p>"),
        ("<p><![CDATA[a]]]]><![CDATA[>b]]></p>", "<p>a]]&gt;b</p>"),
        ("<!-- <![CDATA[ --><i/>", "<!-- <![CDATA[ --><i/></i>"),
        (
            "<style>/*<![CDATA[*/ p > a /*]]>*/</style><i/>",
            "<style>/*<![CDATA[*/ p > a /*]]>*/</style><i/></i>",
        ),
        (
            "<script>//<![CDATA[\n'</script>' & <p/>\n//]]></script><i/>",
            "<script>//<![CDATA[\n'<\\/script>' & <p/>\n//]]></script><i/></i>",
        ),
        ("<script/><i/>", "<script/></script><i/></i>"),
    ],
)
def test_what_is_rewritten(xhtml: str, html: str | None) -> None:
    assert rewrite_as_html(xhtml) == (xhtml if html is None else html)


LEAVES = ["text", "<![CDATA[<i/> & ]]>", "<!-- <i/> -->", "<?x i/ ?>", "<br/>", "<script/>", "<textarea/>"]


def _element(name: str, held: list[str]) -> str:
    return f"<{name} title='/>'>{''.join(held)}</{name}>" if held else f"<{name} title='/>'/>"


@given(
    st.recursive(
        st.sampled_from(LEAVES),
        lambda inner: st.builds(_element, st.sampled_from(["div", "span", "i", "svg"]), st.lists(inner)),
    )
)
def test_the_text_is_that_of_an_xml_parser(xhtml: str) -> None:
    body = LexborHTMLParser(rewrite_as_html(f"<body>{xhtml}</body>")).body
    assert body is not None
    assert body.text() == "".join(ElementTree.fromstring(f"<body>{xhtml}</body>").itertext())


@pytest.mark.parametrize("kind", [TYPE, "text/xml", "Application/XML", "application/x+xml"])
@pytest.mark.parametrize("html", [PAGE, PAGE.encode()])
def test_the_type_says_how_a_page_is_read(kind: str, html: str | bytes) -> None:
    page = parse(html, content_type=kind, url=URL, max_links=9, max_url_chars=2048)
    assert [link.url for link in page.links] == [f"{URL}ok"]
    assert page.html == PAGE
    as_html = parse(html, content_type="text/html", url=URL, max_links=9, max_url_chars=2048)
    assert as_html.links == ()


def test_json_ld_in_a_cdata_section_is_read() -> None:
    data = '{"@context": "https://schema.org", "@type": "Book", "name": "A & <b>B</b>"}'
    script = f'<script type="application/ld+json">//<![CDATA[\n{data}\n//]]></script>'
    read = read_structured_data(LexborHTMLParser(rewrite_as_html(f"{OPENING}{script}</head></html>")), URL)
    assert "A & <b>B</b>" in str(read)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", "<i/>" * INLINE_CHARS], ids=["small", "large"])
async def test_a_child_reads_it_in_the_same_way(more: str) -> None:
    converter = Converter(Settings.load())
    html = PAGE.replace("<p>Text", f"{more}<p>Text")
    try:
        found = await converter.extract(html, URL, view=None, content_type=TYPE)
        shown = await converter.extract(html, URL, view=FULL, content_type=TYPE)
    finally:
        await converter.close()
    assert isinstance(found, Extract)
    assert isinstance(shown, Extract)
    assert found.page.links == shown.page.links
    assert shown.fault is None
    assert shown.markdown == f"Text here\n\n[link]({URL}ok)"


@pytest.mark.slow
@pytest.mark.parametrize("start", ["", "<a ", "<![CDATA[", "<!--", "<script>"])
@pytest.mark.parametrize(
    "part",
    [
        '<a b="', "<a b='", "<a ", "<a/>", "<", "<!--", "<![CDATA[", "<![CDATA[</]]>", "<![CDATA[]]", "<?", "/", "=",
        "a ", "a=b ", 'a="b"', "</a", "<a a/ ",
    ],
)  # fmt: skip
def test_it_is_linear(start: str, part: str) -> None:
    begin = time.process_time()
    rewrite_as_html(start + part * (2_000_000 // len(part)))
    assert time.process_time() - begin < 5
