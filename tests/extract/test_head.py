"""`noscript` in a head: not shown, whatever it holds, and nothing else of the page is lost with it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.extract.document import Page, parse
from crawler.extract.head import move_noscript
from crawler.extract.markdown import to_markdown

URL = "http://site.test/"
PIXEL = "<noscript><img src=/tr><a href=/n>No scripts</a></noscript>"


def read(html: str) -> Page:
    return parse(html, content_type=None, url=URL, max_links=9, max_url_chars=2048)


@pytest.mark.parametrize(
    "before",
    [
        "<head>",
        "",
        "<!DOCTYPE html>\n<html lang=en>\n<head>\n",
        "<?xml version='1.0'?><!-- <body> --><head>",
        "<head><!--><!---><!-- a --!><link rel=icon href=i /></link>",
        "<head><meta name=a content='</head> > <body>'><base href=/b/>",
        "<HEAD><SCRIPT>'<body></head>'</SCRIPT ><style>a > b {}</style><template><p>t</p></template>",
        "<head><noscript><style>p {}</style></noscript>",
        f"<head>{PIXEL}",
    ],
)
@pytest.mark.parametrize("noscript", [PIXEL, PIXEL.replace("noscript", "NoScript"), f"{PIXEL[:-1]} >"])
def test_it_is_not_shown_and_its_links_are_found(before: str, noscript: str) -> None:
    html = f"{before}{noscript}<title>NS</title></head><body><p>x</p>"
    assert to_markdown(html, url=URL, converter="builtin") == "x"
    assert read(html).title == "NS"
    assert [link.url for link in read(html).links] == [f"{URL}n"]


@pytest.mark.parametrize("held", ["<div>", "<table><td>", "<script>", "<!--", "<title>", "<p title='"])
def test_what_is_open_in_it_swallows_nothing(held: str) -> None:
    html = (
        f"<head><noscript><img src=/tr>{held}</noscript><title>NS</title></head><body><p>x</p></body></html>"
    )
    assert to_markdown(html, url=URL, converter="builtin") == "x"
    assert read(html).title == "NS"


@pytest.mark.parametrize(
    "html",
    [
        "<head><title>t</title></head><p>x",
        f"<head><!-- {PIXEL} --></head><p>x",
        f"<head><script>'{PIXEL}'</script><style>{PIXEL}</style><title>{PIXEL}</title></head><p>x",
        f"<head><meta content='{PIXEL}'><meta content=\"{PIXEL}\"></head><p>x",
        f"<head></head>{PIXEL}<p>x",
        f"<head><body>{PIXEL}<p>x",
        f"<head>text{PIXEL}<p>x",
        f"<head><p>{PIXEL}<p>x",
        "<head><noscript><img src=/tr><p>x",
        f"<head><script>'{PIXEL}",
    ],
)
def test_what_is_no_such_element_stays(html: str) -> None:
    assert move_noscript(html) == html


@given(
    st.lists(st.sampled_from([*PIXEL.split("<"), "<", "</", "!--", "-->", "'", '"', "=", "meta ", ">", "x"]))
)
def test_all_of_the_page_is_kept(parts: list[str]) -> None:
    html = "".join(parts)
    assert sorted(move_noscript(html)) == sorted(html)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["", "<meta ", "<noscript>", "<script></script "])
@pytest.mark.parametrize(
    "part",
    [
        '<meta a="', "<meta a='b", "<meta ", "<!--", "<!-- -->", "<?", "<noscript>", "<noscript></noscript",
        "<noscript></noscript>", "<script>", "</noscript", "a ", "a=b ", 'a="b"', "/", "=", " ",
    ],
)  # fmt: skip
def test_it_is_linear(start: str, part: str) -> None:
    begin = time.process_time()
    move_noscript(f"{start}{part * (2_000_000 // len(part))}<noscript>")
    assert time.process_time() - begin < 5
