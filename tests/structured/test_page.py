"""Structured data of pages in every notation, and hostile ones within bounds."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from crawler.structured.data import StructuredData
from crawler.structured.page import read_structured_data


def read(html: str) -> StructuredData:
    return read_structured_data(LexborHTMLParser(html), "http://site.test/shop/")


def json_ld(text: str) -> str:
    return f'<script type="application/ld+json">{text}</script>'


def test_json_ld_graphs_are_flattened_and_references_followed() -> None:
    data = read(
        json_ld(
            """{"@context": "https://schema.org", "@graph": [
            {"@type": "schema:Product", "name": " Lamp ", "brand": {"@id": "#b"}, "offers": [{"price": 19.9}]},
            {"@id": "#b", "@type": ["https://schema.org/Brand"], "name": {"@value": "Lumo"}}]}"""
        )
    )
    product, brand = data.items
    assert brand == {"@type": ["Brand"], "name": ["Lumo"]}
    assert product == {
        "@type": ["Product"], "name": ["Lamp"], "brand": [brand], "offers": [{"price": [19.9]}],
    }  # fmt: skip


def test_scripts_that_are_no_json_are_passed_over() -> None:
    data = read(json_ld("{not json") + json_ld("[" * 100_000) + json_ld('<!-- {"@type": "A", "b": "c"} -->'))
    assert data.items == ({"@type": ["A"], "b": ["c"]},)


def test_microdata_nests_and_refers() -> None:
    data = read(
        """<div itemscope itemtype="https://schema.org/Person" itemref="phone">
        <b itemprop="name">Ann <i>Lee</i></b><a itemprop="url sameAs" href="../ann">me</a>
        <div itemprop="address" itemscope><p itemprop="city">Bonn</p></div>
        <time itemprop="birthDate" datetime="1990-01-02">January</time><meta itemprop="gender" content="f">
        </div><p id="phone" itemprop="telephone">12<br>34</p>"""
    )
    assert data.items == (
        {
            "@type": ["Person"],
            "name": ["Ann Lee"],
            "url": ["http://site.test/ann"],
            "sameAs": ["http://site.test/ann"],
            "address": [{"city": ["Bonn"]}],
            "birthDate": ["1990-01-02"],
            "gender": ["f"],
            "telephone": ["12 34"],
        },
    )


def test_items_that_contain_themselves_end() -> None:
    html = "<div id=a itemscope itemref=b><p itemprop=x>1</p></div><div id=b itemprop=c itemscope itemref=a></div>"
    assert all(isinstance(item, dict) for item in read(html).items)


def test_rdfa_lite_is_read_and_open_graph_is_no_item() -> None:
    data = read(
        """<meta property="og:title" content="Fair"><div vocab="https://schema.org/" typeof="Event">
        <span property="name">Book fair</span><span property="startDate" content="2026-05-01">in May</span>
        <div property="location" typeof="Place"><span property="schema:name">Hall</span></div></div>"""
    )
    assert data.items == (
        {
            "@type": ["Event"],
            "name": ["Book fair"],
            "startDate": ["2026-05-01"],
            "location": [{"@type": ["Place"], "name": ["Hall"]}],
        },
    )
    assert data.named["og:title"] == "Fair"


def test_meta_tables_and_lists_are_read() -> None:
    data = read(
        """<html lang="de"><title>A &amp; B</title><link rel="canonical" href="/x"><meta name="Author" content="Ann">
        <h1>Head</h1><table><tr><th>Name<th>Price (EUR)<tr><td>A<td>1<tr><td>B<td>2<tr><td>short</table>
        <table><tr><td>Weight [net]:<td>3 kg<tr><th>Colour<td>red<script>no()</script></table>
        <dl><dt>Size</dt> <dd>XL</dd><dt>lonely</dt></dl>"""
    )
    assert data.named == {
        "author": "Ann", "title": "A & B", "canonical": "http://site.test/x", "language": "de", "h1": "Head",
    }  # fmt: skip
    assert data.pairs == {"Weight": "3 kg", "Colour": "red", "Size": "XL"}
    assert data.tables == (({"Name": "A", "Price": "1"}, {"Name": "B", "Price": "2"}),)


def test_tables_in_a_layout_table_are_read_and_the_layout_is_not() -> None:
    data = read(
        """<table><tr><td>Menu<td><table><tr><td>Color<td>Red</table>
        <tr><td>Offers<td><div><table><tr><th>Name<th>Price<tr><td>A<td>1</table></div></table>"""
    )
    assert data.pairs == {"Color": "Red"}
    assert data.tables == (({"Name": "A", "Price": "1"},),)


def test_relative_addresses_are_resolved_in_every_notation() -> None:
    data = read(
        """<link rel=canonical href="/c"><meta property="og:image" content="/i.png"><meta property="og:url" content="u">
        <meta name="twitter:image:src" content="//b.test/i"><meta property="og:image:alt" content="a shoe">
        <p itemscope><meta itemprop="image" content="i.png"><b itemprop="url">Our shop</b></p>"""
        + json_ld(
            """{"url": "p#top", "image": ["/i.png", {"@type": "ImageObject", "contentUrl": "../i.png"}],
            "https://schema.org/logo": {"@value": "l.png"}, "photos": {"@list": ["1.jpg"]}, "sameAs": "?page=2",
            "name": "p", "thumbnailUrl": 3}"""
        )
    )
    assert data.named == {
        "canonical": "http://site.test/c", "og:image": "http://site.test/i.png",
        "og:url": "http://site.test/shop/u", "twitter:image:src": "http://b.test/i", "og:image:alt": "a shoe",
    }  # fmt: skip
    assert data.items == (
        {
            "url": ["http://site.test/shop/p"],
            "image": [
                "http://site.test/i.png",
                {"@type": ["ImageObject"], "contentUrl": ["http://site.test/i.png"]},
            ],
            "logo": ["http://site.test/shop/l.png"],
            "photos": ["http://site.test/shop/1.jpg"],
            "sameAs": ["http://site.test/shop/?page=2"],
            "name": ["p"],
            "thumbnailUrl": [3],
        },
        {"image": ["http://site.test/shop/i.png"], "url": ["Our shop"]},
    )


def test_addresses_that_are_whole_or_none_stay_as_they_are_written() -> None:
    for written in (
        "https://a.test",
        "http://a.test/b#c",
        "data:image/png;base64,iVBO",
        "mailto:a@a.test",
        "http://[",
    ):
        item, *_ = read(json_ld(f'{{"@type": "Thing", "name": "n", "url": "{written}"}}')).items
        assert item["url"] == [written]
    assert read(json_ld('{"name": "n", "url": " "}')).items == ({"name": ["n"], "url": [""]},)


@pytest.mark.parametrize(
    "html",
    [
        "<div itemscope itemprop=a>" * 1_300,
        "<b itemprop=a>" * 2_000 + "x",
        "<div itemscope itemref='a a a'><p id=a itemprop=b>" * 500,
        "<table>" + "<tr><td>a<td>b" * 20_000,
        "<table><tr><td>" * 600,
        "<dl>" + "<dt>a<dd>b" * 10_000,
        json_ld("[" + ",".join(f'{{"@id":"{n}","a":[{{"@id":"0"}},{{"@id":"1"}}]}}' for n in range(2_000)) + "]"),
        json_ld('{"a":' * 5_000 + "1" + "}" * 5_000),
        json_ld('{"' + "a" * 400_000 + '":[' + ",".join(['{"@list":["b","c","d","e"]}'] * 100) + "]}"),
        "<meta name=a content=b>" * 20_000,
    ],
)  # fmt: skip
def test_hostile_pages_stay_within_bounds(html: str) -> None:
    parser = LexborHTMLParser(html)
    began = time.process_time()
    data = read_structured_data(parser, "http://site.test/")
    assert time.process_time() - began < 3
    assert len(str(data)) < 2_000_000


FRAGMENTS = st.sampled_from(
    ["<div itemscope itemprop=a>", "</div>", "<p itemprop=b>", "<table><tr><th>x<th>y", "<tr><td>1<td>2", "<dl><dt>a",
     "<dd>b", "<meta property=og:x content=y>", json_ld('{"@type":"A"}'), json_ld('[[{"@id":"x"}], 1, null]'), "text",
     "<span typeof=B property=c>", "<template>", "<svg>", "<a itemprop=u href='http://['>"]
)  # fmt: skip


@given(st.lists(FRAGMENTS, max_size=30))
def test_any_page_is_read(fragments: list[str]) -> None:
    read("".join(fragments))
