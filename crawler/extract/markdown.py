"""A whole page as Markdown: CommonMark with GitHub's tables, task lists and strikethrough."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from selectolax.lexbor import LexborHTMLParser

from crawler.extract.blocks import (
    Align,
    Block,
    Code,
    Heading,
    Inline,
    Listing,
    Paragraph,
    Quote,
    Rule,
    Table,
)
from crawler.extract.document import base_url_of
from crawler.extract.escape import escape_heading_end
from crawler.extract.inline import write_inline
from crawler.extract.plain import is_too_deep, plain_text
from crawler.extract.reader import read_blocks
from crawler.extract.selection import select
from crawler.extract.shadow import parse_tree
from crawler.extract.view import FULL, View

#: Names of the converters, as `CRAWL_MARKDOWN` has them.
ConverterName = Literal["builtin", "markdownify"]

_ALIGN = {"": "---", "left": ":---", "center": ":---:", "right": "---:"}
_NEW_LINE = re.compile(r"\n(?=[^\n])")


@dataclass(frozen=True, slots=True)
class Converted:
    """Markdown, and how many words of the page it shows."""

    markdown: str
    words: int


def to_markdown(html: str, *, url: str, converter: ConverterName, view: View = FULL) -> str:
    """Markdown of the page `html`, whose final URL is `url`."""
    if is_too_deep(html):
        return plain_text(html)
    parser = parse_tree(html)
    base_url = base_url_of(parser, url)
    return convert(parser, base_url=base_url, converter=converter, view=view).markdown


def convert(parser: LexborHTMLParser, *, base_url: str, converter: ConverterName, view: View) -> Converted:
    """Markdown of the page that `parser` has read. Links are made absolute by `base_url`."""
    reading = read_blocks(select(parser, view), base_url, links=view.links, images=view.images)
    return Converted(write(reading.blocks, converter), reading.words)


def write(blocks: Sequence[Block], converter: ConverterName) -> str:
    """Markdown of blocks by one of the converters, without a line end after the last line."""
    if converter == "markdownify":
        # Only here: it brings bs4 and lxml, which would double the memory of a converter process.
        from crawler.extract.classic import write_with_markdownify  # noqa: PLC0415

        return write_with_markdownify(blocks)
    return write_blocks(blocks)


def write_blocks(blocks: Sequence[Block]) -> str:
    """Markdown of blocks, without a line end after the last line."""
    return _join(blocks, is_tight=False)


def _join(blocks: Sequence[Block], *, is_tight: bool) -> str:
    parts: list[str] = []
    previous: Block | None = None
    alternates = False
    for block in blocks:
        # Two lists one after the other would be read as one, were it not for another marker (CommonMark 5.3).
        is_second = isinstance(previous, Listing) and isinstance(block, Listing)
        alternates = is_second and not alternates
        text = _write(block, alternates=alternates)
        if not text:
            continue
        if parts:
            parts.append("\n" if is_tight and _interrupts(previous, block) else "\n\n")
        parts.append(text)
        previous = block
    return "".join(parts)


def _interrupts(previous: Block | None, block: Block) -> bool:
    """Whether `block` is seen as one of its own right under `previous`, without a blank line (CommonMark 4.8)."""
    if isinstance(previous, Heading | Code | Rule) or isinstance(block, Heading | Code):
        return True
    if isinstance(block, Listing):
        return not isinstance(previous, Listing) and (block.numbers or [1])[0] == 1 and bool(block.items[0])
    return isinstance(block, Quote) and not isinstance(previous, Quote)


def _write(block: Block, *, alternates: bool) -> str:
    match block:
        case Paragraph(text):
            return write_inline(text)
        case Heading(level, text):
            line = escape_heading_end(write_inline(text, line_break=" "))
            return f"{'#' * level} {line}".rstrip()
        case Code(text, language):
            longest = max(map(len, re.findall("`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}{language}\n{text}\n{fence}" if text else f"{fence}{language}\n{fence}"
        case Rule():
            return "---"
        case Quote(blocks):
            return "> " + _join(blocks, is_tight=False).replace("\n", "\n> ").replace("\n> \n", "\n>\n")
        case Listing():
            return _write_list(block, alternates=alternates)
        case Table(header, rows, aligns):
            return _write_table(header, rows, aligns)


def _write_list(listing: Listing, *, alternates: bool) -> str:
    is_tight = not any(_is_loose(item) for item in listing.items)
    if listing.numbers is None:
        markers = ["-" if alternates else "*"] * len(listing.items)
    else:
        markers = [f"{number}{')' if alternates else '.'}" for number in listing.numbers]
    lines: list[str] = []
    for marker, item in zip(markers, listing.items, strict=True):
        indent = " " * (len(marker) + 1)
        text = _NEW_LINE.sub("\n" + indent, _join(item, is_tight=is_tight))
        lines.append(f"{marker} {text}".rstrip(" "))
    return ("\n" if is_tight else "\n\n").join(lines)


def _is_loose(item: Sequence[Block]) -> bool:
    paragraphs = [block for block in item if isinstance(block, Paragraph)]
    if any(paragraph.is_loose for paragraph in paragraphs) or len(paragraphs) > 1:
        return True
    return any(not _interrupts(before, after) for before, after in pairwise(item))


def _write_table(header: list[list[Inline]], rows: list[list[list[Inline]]], aligns: Sequence[Align]) -> str:
    lines = [_row(header) if header else "|" + "  |" * len(aligns)]
    lines.append("| " + " | ".join(_ALIGN[align] for align in aligns) + " |")
    lines += [_row(row) for row in rows]
    return "\n".join(lines)


def _row(cells: list[list[Inline]]) -> str:
    texts = [write_inline(cell, line_break="<br>").replace("|", "\\|").replace("\n", " ") for cell in cells]
    return "| " + " | ".join(texts) + " |"
