"""What a reader makes of a document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser

from crawler.extract.blocks import Block, Break, Heading, Inline
from crawler.extract.document import describe
from crawler.extract.markdown import ConverterName, write
from crawler.extract.metadata import Metadata, shorten
from crawler.extract.plain import is_too_deep
from crawler.extract.reader import read_blocks
from crawler.extract.selection import select
from crawler.extract.view import FULL


class BadDocument(Exception):
    """The document is damaged, encrypted, or not what it says it is."""


@dataclass(frozen=True, slots=True)
class Content:
    """A document, read. `words` are those shown."""

    title: str
    markdown: str
    words: int
    links: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=Metadata)
    pages: int | None = None


@dataclass(frozen=True, slots=True)
class Fragment:
    """What HTML in a document says. `words` are those shown, `links` absolute, each once."""

    blocks: list[Block]
    words: int
    links: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for every document, and who writes its Markdown."""

    max_links: int
    max_url_chars: int
    converter: ConverterName


def from_blocks(title: str, blocks: list[Block], words: int, limits: Limits) -> Content:
    """A document that was read into blocks."""
    return Content(title, write(blocks, limits.converter), words)


def read_html(html: str, url: str, limits: Limits) -> Fragment:
    """A document, or a part of one, that was turned into HTML. Raises BadDocument as `parse_html` does."""
    parser = parse_html(html)
    page = describe(parser, "", url=url, max_links=limits.max_links, max_url_chars=limits.max_url_chars)
    reading = read_blocks(select(parser, FULL), url)
    return Fragment(reading.blocks, reading.words, tuple(link.url for link in page.links))


def parse_html(html: str) -> LexborHTMLParser:
    """The tree of HTML that a document holds. Raises BadDocument when it nests too deep for a parser."""
    if is_too_deep(html):
        raise BadDocument("nested too deep")
    return LexborHTMLParser(html)


def first_heading(blocks: Iterable[Block]) -> str:
    """The text of the first heading that has any: the title of a document that names none."""
    for block in blocks:
        if isinstance(block, Heading) and (text := shorten("".join(map(_shown, block.text)))):
            return text
    return ""


def _shown(part: Inline) -> str:
    if isinstance(part, str):
        return part
    return " " if isinstance(part, Break) else ""
