"""Documents made to break converters (cases D15, D16, D18, D19).

Times are CPU times, so that a busy machine does no harm.
"""

from __future__ import annotations

import time

import pytest

from crawler.extract.grid import MAX_COLSPAN
from crawler.extract.markdown import ConverterName, to_markdown
from crawler.extract.plain import is_too_deep, plain_text, plain_title
from crawler.extract.view import View
from tests.extract.fidelity import lost_text

pytestmark = pytest.mark.slow

CONVERTERS: list[ConverterName] = ["builtin", "markdownify"]
URL = "http://site.test/"
NESTED = [
    "<ul><li>x",
    "<ol><li>x",
    "<blockquote>x",
    "<table><tr><td>x",
    "<dl><dt>x<dd>x",
    "<div>x",
    "<span>x",
    "<b><i>x",
]


def convert(html: str, name: ConverterName = "builtin") -> str:
    return to_markdown(html, url=URL, converter=name)


def cpu_seconds(html: str, name: ConverterName) -> float:
    begin = time.process_time()
    convert(html, name)
    return time.process_time() - begin


@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize("opening", NESTED)
@pytest.mark.parametrize("depth", [30, 330, 1_000, 10_000])
def test_d16_nesting_keeps_the_text(opening: str, depth: int, name: ConverterName) -> None:
    assert convert(opening * depth, name).count("x") == depth * opening.count("x")


@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize("opening", NESTED[:4])
def test_d16_time_is_linear(opening: str, name: ConverterName) -> None:
    assert cpu_seconds(opening * 1_900, name) <= 10 * cpu_seconds(opening * 600, name) + 1.0
    assert cpu_seconds(opening * 10_000, name) <= 3 * cpu_seconds(opening * 3_300, name) + 1.0


def test_d16_main_content_of_nested_tables_takes_linear_time() -> None:
    html = ("<table><tr><td>" + "<i></i>" * 100) * 1_200 + "<p>" + "x " * 1_000
    begin = time.process_time()
    assert "x x" in to_markdown(html, url=URL, converter="builtin", view=View(content="main"))
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("name", CONVERTERS)
@pytest.mark.parametrize(
    "html",
    [
        "<a href=x><b><i>x" * 50_000,
        "<" * (1 << 20),
        "<!--" + "x" * (1 << 20) + "-->",
        "<p>" + "*_`[<&~\\" * 50_000,
        "<pre>" + "`" * 500_000,
        "<p>x" + "&nbsp;" * 200_000 + "y",
        "a<br>" * 50_000,
        "<code>`</code>" * 20_000,
        "<h1>" + "#" * 200_000,
        "<a href='" + "(" * 4_000 + "'>x</a>" * 200,
        "<table><tr>" + "<td rowspan=65534>x" * 5_000 + "<tr><td>y" * 5_000,
        "<table>" + "<tr><td class=linenos>1<td class=code><pre>x</pre>" * 20_000,
        "<pre>" + "<span class=line>x</span>" * 100_000,
        "<ol reversed>" + "<li value=9>x" * 20_000,
        "<span aria-hidden=true>" * 1_900 + "<span>x</span>" * 50_000 + "<p>y",
        "<math>" + "<mfrac><mi>x</mi>" * 50_000,
        "<a href='#x'>¶</a>" * 50_000,
        "<dl>" + "<dt>x<dd>y" * 10_000,
    ],
    ids=lambda html: html[:12],
)
def test_d18_hostile_markup_takes_seconds_at_most(html: str, name: ConverterName) -> None:
    assert cpu_seconds(html, name) < 10


@pytest.mark.parametrize("name", CONVERTERS)
def test_d19_spans_make_no_cells(name: ConverterName) -> None:
    row = f"<tr><td colspan=1000000 rowspan=65534>c<td colspan={MAX_COLSPAN}>d"
    markdown = convert("<table>" + row * 200, name)
    assert markdown.count("c") == 200
    assert len(markdown) < 20 * 200 + 200


@pytest.mark.parametrize(
    "html",
    [
        "<table>" + "".join(f"<tr><td colspan={width}>c<td>d" for width in range(1, 900)),
        "<table><tr>" + "<td>x" * 3_000 + "<tr><td>y" * 3_000,
    ],
    ids=["every row begins its second cell elsewhere", "one long row"],
)
def test_d19_sparse_tables_do_not_become_grids(html: str) -> None:
    markdown = convert(html)
    assert len(markdown) < 2 * len(html)
    assert lost_text(html, markdown) == ""


def test_d19_a_real_grid_is_complete() -> None:
    markdown = convert("<table>" + ("<tr>" + "<td>c" * 200) * 200)
    assert markdown.count("| c ") == 200 * 200


def test_plain_text_drops_what_is_not_text() -> None:
    html = "<head><title>T &amp; t</title></head><p>a<b>b</b> <!-- no -->c<script>no<p></script><style>no</style>"
    assert plain_text(html + "&lt;1 <2") == "ab c\n\n<1 <2"
    assert plain_title(html) == "T & t"


@pytest.mark.parametrize("html", ["<!-- ", "<script>", "<a b='", "</", "<!", "<div>", "<"])
def test_plain_text_is_linear(html: str) -> None:
    begin = time.process_time()
    plain_text(html * (4_000_000 // len(html)))
    assert time.process_time() - begin < 15


def test_only_real_depth_is_too_deep() -> None:
    assert is_too_deep("<div>" * 10_001)
    assert not is_too_deep("<p>x<br><li>y" * 10_000)
    assert not is_too_deep("<div>x</div>" * 10_000)
