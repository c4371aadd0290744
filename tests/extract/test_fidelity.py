"""Gates on the shared suites. The scores are in docs/quality.md, made by bench/markdown_quality.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.extract.markdown import ConverterName, to_markdown
from tests.extract.cases import documentation
from tests.extract.fidelity import characters, lost_text, rendered, same
from tests.extract.suites import URL, Convert, score, suite

GATES = [
    ("turndown", "builtin", 0.97),
    ("markdownify", "builtin", 0.95),
    ("commonmark_spec", "builtin", 0.97),
    ("turndown", "markdownify", 0.97),
    ("markdownify", "markdownify", 0.95),
    ("commonmark_spec", "markdownify", 0.95),
]
CONVERTERS: list[ConverterName] = ["builtin", "markdownify"]


def converter(name: ConverterName) -> Convert:
    return lambda html: to_markdown(html, url=URL, converter=name)


@pytest.mark.parametrize(("name", "converter_name", "least"), GATES)
def test_suite_means_the_same_after_rendering(name: str, converter_name: ConverterName, least: float) -> None:
    assert score(suite(name), converter(converter_name)) >= least


def test_breaking_tables_fails_the_gate() -> None:
    def broken(html: str) -> str:
        return converter("builtin")(html).replace("| ---", "| -x-")

    assert score(suite("markdownify"), broken) < 0.95


@pytest.mark.parametrize("converter_name", CONVERTERS)
@pytest.mark.parametrize("name", ["turndown", "markdownify", "commonmark_spec", "html_to_markdown_golden"])
def test_no_case_loses_text(name: str, converter_name: ConverterName) -> None:
    convert = converter(converter_name)
    lost = {case.name: lost_text(case.html, convert(case.html)) for case in suite(name)}
    assert {name: text for name, text in lost.items() if text} == {}


def test_real_documentation_loses_no_text() -> None:
    for html in documentation()[::8]:
        assert lost_text(html, converter("builtin")(html)) == ""


#: Text with everything that Markdown may take for markup.
TEXT = st.text(alphabet="ab1 .)(*_`~[]<>!#+-=|\\&;:\xa0é", min_size=1, max_size=12)
INLINE = st.recursive(
    TEXT.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;")),
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>",
        st.sampled_from(["em", "strong", "code", "del", 'a href="http://h.test/"', "span"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=6,
).map(lambda html: html.replace('</a href="http://h.test/">', "</a>"))


@given(st.lists(INLINE, min_size=1, max_size=4))
@settings(max_examples=300)
@pytest.mark.slow
def test_any_paragraph_gives_its_text_back(parts: list[str]) -> None:
    html = f"<p>{''.join(parts)}</p>"
    assert characters(rendered(converter("builtin")(html))) == characters(html)


#: Elements that hold blocks, in any order and nesting, also where HTML does not want them.
BLOCKS = st.recursive(
    TEXT.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;")) | st.sampled_from(["<br>", "<hr>"]),
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag.split()[0]}>",
        st.sampled_from([
            "ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "td", "th", "blockquote", "pre", "p", "h2", "div", "b",
            "a href=/x", "details", "summary", "figure", "figcaption", "q", "sup", "ruby", "rt", "svg", "label",
        ]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(BLOCKS, min_size=1, max_size=4))
@settings(max_examples=300)
@pytest.mark.slow
def test_any_blocks_lose_no_text(parts: list[str]) -> None:
    html = "".join(parts)
    for name in CONVERTERS:
        assert lost_text(html, converter(name)(html)) == "", (name, html)


@given(TEXT)
@settings(max_examples=500)
def test_plain_text_is_neither_changed_nor_taken_for_markup(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    html = f"<p>x</p><p>{escaped}</p>"
    assert same(rendered(converter("builtin")(html)), html, URL)


@given(st.lists(TEXT, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=200)
def test_any_cell_stays_in_its_cell(first: list[str], second: list[str]) -> None:
    rows = [first, [*second, *[""] * len(first)][: len(first)]]
    cells = [
        "".join(f"<td>{text.replace('&', '&amp;').replace('<', '&lt;')}</td>" for text in row) for row in rows
    ]
    html = f"<table><tr><th>h</th>{'<th>h</th>' * (len(first) - 1)}</tr><tr>{'</tr><tr>'.join(cells)}</tr></table>"
    assert lost_text(html, converter("builtin")(html)) == ""
