"""Documents that are text already: shown as they are, as a table, or as their own Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from crawler.extract.blocks import Align, Block, Code, Image, Paragraph, Table
from crawler.extract.formats.content import BadDocument, Content, Limits, from_blocks, read_html
from crawler.extract.front_matter import split_front_matter
from crawler.extract.metadata import Metadata, shorten

#: A larger table is shown as the text that it came as.
MAX_CELLS = 50_000


def read_text(text: str, url: str, language: str, limits: Limits) -> Content:
    """Text whose lines and blanks matter: a block of code."""
    blocks: list[Block] = [Code(text.replace("\r\n", "\n").rstrip("\n"), language)]
    return from_blocks(name_of(url), blocks, len(text.split()), limits)


def read_markdown(text: str, url: str, limits: Limits) -> Content:
    """Markdown stays as it is; its title, links and words are those of what it looks like rendered."""
    markdown = text.replace("\r\n", "\n").strip("\n")
    title, body = split_front_matter(markdown)
    rendered = MarkdownIt("commonmark", {"html": False}).enable("table").render(body)
    read = read_html(rendered, url, limits)
    title = shorten(title) or _first_heading(body) or name_of(url)
    return Content(title, markdown, read.words, read.links)


def read_csv(text: str, url: str, delimiters: str, limits: Limits) -> Content:
    """A table whose first row is its head. Raises BadDocument on what is no CSV (RFC 4180).

    Of several `delimiters` it has the one that cuts its first row into most cells, the first of them if in doubt.
    """
    # A field may be all of the text, whose size was bounded when it was fetched.
    csv.field_size_limit(len(text))
    rows: list[list[str]] = []
    cells = 0
    try:
        delimiter = max(delimiters, key=lambda one: len(next(_rows(text, one), [])))
        for row in _rows(text, delimiter):
            cells += max(len(row), len(rows[0]) if rows else 0)
            if cells > MAX_CELLS:
                return read_text(text, url, "csv", limits)
            rows.append(row)
    except csv.Error as error:
        raise BadDocument(str(error)) from error
    if not rows:
        return from_blocks(name_of(url), [], 0, limits)
    width = max(len(row) for row in rows)
    if width * len(rows) > MAX_CELLS:
        return read_text(text, url, "csv", limits)
    grid: list[list[list[Any]]] = [[[cell] for cell in row] + [[]] * (width - len(row)) for row in rows]
    aligns: list[Align] = [""] * width
    return from_blocks(name_of(url), [Table(grid[0], grid[1:], aligns)], len(text.split()), limits)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    """The rows of a table, without its empty lines."""
    return filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def read_image(url: str, limits: Limits) -> Content:
    """An image has nothing to read but its name."""
    name = name_of(url)
    made = from_blocks(name, [Paragraph([Image(url, name, "")], is_loose=True)], 0, limits)
    return Content(name, made.markdown, 0, (), Metadata())


def name_of(url: str) -> str:
    """The name of the file at a URL."""
    return shorten(unquote(urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]))


def _first_heading(text: str) -> str:
    """What the first heading of Markdown shows, without its marks."""
    tokens = MarkdownIt("commonmark").parse(text)
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            return shorten("".join(_shown(part) for part in following.children or ()))
    return ""


def _shown(part: Token) -> str:
    match part.type:
        case "softbreak" | "hardbreak":
            return " "
        case "html_inline":
            return ""
        case _:
            # Text, code, and what stands for an image; marks have none.
            return part.content
