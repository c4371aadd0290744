"""What a page says, in the forms that Markdown has: a list of blocks, whose text is a flat list of inline tokens.

`crawler.extract.reader` builds it from HTML; `crawler.extract.markdown` writes it out. Inline tokens are flat, with an
`End` for every `Mark`, because whether a delimiter works in Markdown depends on its neighbours, not on its children.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MarkName = Literal["a", "em", "strong", "del", "code", "sup", "sub"]
Align = Literal["", "left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Mark:
    """The start of formatted text. `href` and `title` are for links."""

    name: MarkName
    href: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The end of the innermost mark that is open."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class Image:
    source: str
    alt: str
    title: str


@dataclass(frozen=True, slots=True)
class Break:
    """A line break inside a block."""


@dataclass(frozen=True, slots=True)
class Checkbox:
    """The box of a task list item."""

    is_checked: bool


@dataclass(frozen=True, slots=True)
class Meaning:
    """Between a term and what it means: a new line that begins with a colon."""


@dataclass(frozen=True, slots=True)
class Math:
    """A formula in TeX; `is_display`: on a line of its own."""

    tex: str
    is_display: bool = False


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line of a code block, where there is no place for the block. Its blanks count."""

    text: str


#: Text is as in HTML: white space still stands for itself and nothing is escaped.
Inline = str | Mark | End | Image | Break | Checkbox | Meaning | Math | CodeLine


@dataclass(frozen=True, slots=True)
class Paragraph:
    """`is_loose`: the page marked it as a paragraph; otherwise it is text next to blocks, like that of a list item."""

    text: list[Inline]
    is_loose: bool


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    text: list[Inline]


@dataclass(frozen=True, slots=True)
class Code:
    """`text` is exact, without the line end that closes the last line."""

    text: str
    language: str


@dataclass(frozen=True, slots=True)
class Rule:
    pass


@dataclass(frozen=True, slots=True)
class Quote:
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Listing:
    """`numbers` are those of the items as the page shows them, None for bullets."""

    numbers: list[int] | None
    items: list[list[Block]]


@dataclass(frozen=True, slots=True)
class Table:
    """A full grid: every row has as many cells as there are columns. `header` is empty when the page had none."""

    header: list[list[Inline]]
    rows: list[list[list[Inline]]]
    aligns: list[Align]


Block = Paragraph | Heading | Code | Rule | Quote | Listing | Table


def flatten(blocks: list[Block], separator: Inline) -> list[Inline]:
    """The text of blocks as one inline text, for places where Markdown has no blocks (cells, headings, terms)."""
    return join((_flatten_one(block, separator) for block in blocks), separator)


def _flatten_one(block: Block, separator: Inline) -> list[Inline]:
    match block:
        case Paragraph(text=text) | Heading(text=text):
            return text
        case Code(text=code):
            return join([[CodeLine(line)] for line in code.split("\n") if line], separator)
        case Quote(blocks=blocks):
            return flatten(blocks, separator)
        case Listing(numbers=numbers, items=items):
            bullets = ["• "] * len(items) if numbers is None else [f"{number}. " for number in numbers]
            parts = zip(bullets, items, strict=True)
            return join([[bullet, *flatten(item, separator)] for bullet, item in parts], separator)
        case Table(header=header, rows=rows):
            return join([join(row, ", ") for row in (header, *rows)], separator)
        case Rule():
            return []


def join(parts: Iterable[list[Inline]], separator: Inline) -> list[Inline]:
    """Inline texts one after the other, without the empty ones."""
    text: list[Inline] = []
    for part in parts:
        if part:
            text += [separator, *part] if text else part
    return text
