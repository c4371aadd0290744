"""Documents that are text: titles of Markdown, delimiters and fields of tables."""

from __future__ import annotations

import pytest

from crawler.extract.formats.content import Limits
from crawler.extract.formats.texts import read_csv, read_markdown

LIMITS = Limits(max_links=100, max_url_chars=2_048, converter="builtin")


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("# **Bold** [Link](/ok)", "Bold Link"),
        ("# Use `a * b` &amp; \\*stars\\*", "Use a * b & *stars*"),
        ("# ![Logo](/logo.png) Sloop", "Logo Sloop"),
        ("# <img src=logo.png> Sloop", "Sloop"),
        ("Two\nlines\n===", "Two lines"),
        ("# ![](/logo.png)", "guide.md"),
        ("Two\n\n> # Quoted", "Quoted"),
    ],
)
def test_the_title_of_markdown_is_what_its_first_heading_shows(heading: str, title: str) -> None:
    assert read_markdown(heading, "http://site.test/guide.md", LIMITS).title == title


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("nom;prix\npain;1,50", ["| nom | prix |", "| pain | 1,50 |"]),
        ("\r\nnom\tprix\r\npain\t1,50\r\n", ["| nom | prix |", "| pain | 1,50 |"]),
        ('"nom; ou ""titre"";",prix\npain;,1', ['| nom; ou "titre"; | prix |', "| pain; | 1 |"]),
        ('"nom, prix,";"a\nb"\nx;y', ["| nom, prix, | a b |", "| x | y |"]),
        ("a;b,c\nd;e,f", ["| a;b | c |", "| d;e | f |"]),
        ("a\nb;c", ["| a |", "| b;c |"]),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_the_first_row_most(text: str, rows: list[str]) -> None:
    lines = read_csv(text, "http://site.test/a.csv", ",;\t", LIMITS).markdown.split("\n")
    assert [line for line in lines if "---" not in line] == rows


def test_a_tsv_has_no_other_delimiter() -> None:
    assert "| a;b;c | d |" in read_csv("a;b;c\td", "http://site.test/a.tsv", "\t", LIMITS).markdown


@pytest.mark.parametrize("text", ["", "\n\n", ";"])
def test_a_table_may_hold_nothing(text: str) -> None:
    assert read_csv(text, "http://site.test/a.csv", ",;\t", LIMITS).words == len(text.split())


@pytest.mark.parametrize("form", ["{}", "name,text\nx,{}", '"{}', "{};y"])
def test_a_field_may_be_as_long_as_the_document(form: str) -> None:
    long = "x" * 200_000
    found = read_csv(form.format(long), "http://site.test/a.csv", ",;\t", LIMITS)
    assert long in found.markdown
