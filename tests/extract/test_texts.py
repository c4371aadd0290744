"""Documents that are text: titles of Markdown, delimiters and fields of tables."""

from __future__ import annotations

import pytest

from crawler.extract.formats.content import Limits
from crawler.extract.formats.texts import read_markdown

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
