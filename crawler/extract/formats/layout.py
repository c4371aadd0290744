"""From words at places on paper to blocks: lines, headings by size, tables by columns, paragraphs by distance.

Lengths are points, y grows upwards as in PDF. Nothing here knows where the words come from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise

from crawler.extract.blocks import Align, Block, Heading, Inline, Listing, Paragraph, Table

#: Text so much larger than most is a heading.
_HEADING_FACTOR = 1.15
_MAX_HEADING_CHARS = 300
#: Between words of one cell there is less than this, in units of the text's height.
_COLUMN_GAP = 1.0
#: Between lines of one paragraph there is less than this, in units of the text's height.
_PARAGRAPH_GAP = 0.5
#: Lines at the edge of so many pages are not text of the document but of its paper.
_LEAST_RUNNING_PAGES = 3
_BULLET = re.compile(r"[•◦▪‣●○■\uf0b7]\s*")
_FIGURES = re.compile(r"\d+")
#: How PDFium gives the hyphen of a word that goes on in the next line.
HYPHEN = "\x02"


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    left: float
    right: float
    bottom: float
    top: float

    @property
    def height(self) -> float:
        return self.top - self.bottom


@dataclass(frozen=True, slots=True)
class Edge:
    """A vertical line that is drawn on the page."""

    x: float
    bottom: float
    top: float


@dataclass(frozen=True, slots=True)
class Line:
    """Cells of words; most lines have one."""

    cells: tuple[tuple[Word, ...], ...]
    height: float
    bottom: float
    top: float

    @property
    def text(self) -> str:
        return " ".join(_text(cell) for cell in self.cells)

    @property
    def left(self) -> float:
        return self.cells[0][0].left


def make_line(words: Sequence[Word], edges: Iterable[Edge]) -> Line:
    """A line of at least one word, cut into cells where there is a wide gap or an edge."""
    height = max(word.height for word in words)
    middle = (words[0].bottom + words[0].top) / 2
    cuts = [edge.x for edge in edges if edge.bottom <= middle <= edge.top]
    cells: list[list[Word]] = [[words[0]]]
    for before, word in pairwise(words):
        gap = word.left - before.right
        if gap > _COLUMN_GAP * height or any(before.right - 1 <= cut <= word.left + 1 for cut in cuts):
            cells.append([])
        cells[-1].append(word)
    return Line(
        tuple(tuple(cell) for cell in cells),
        height,
        min(word.bottom for word in words),
        max(word.top for word in words),
    )


def arrange(pages: Sequence[Sequence[Line]]) -> list[Block]:
    """The blocks of a document, page after page."""
    running = _running(pages)
    lines = list(_without_repeats(pages, running))
    sizes = Counter[float]()
    for line in lines:
        sizes[_size(line)] += len(line.text)
    usual = sizes.most_common(1)[0][0] if sizes else 0.0
    larger = sorted((size for size in sizes if size >= usual * _HEADING_FACTOR), reverse=True)
    levels = {size: min(rank, 6) for rank, size in enumerate(larger, 1)}
    blocks: list[Block] = []
    for group in _groups(lines):
        first = group[0]
        text = _join(group)
        if len(first.cells) > 1 and len(group) > 1:
            blocks.append(_table(group))
        elif (level := levels.get(_size(first))) and len(text) <= _MAX_HEADING_CHARS:
            blocks.append(Heading(level, [text]))
        elif bullet := _BULLET.match(text):
            _add_item(blocks, text[bullet.end() :])
        else:
            blocks.append(Paragraph([text], is_loose=True))
    return blocks


def _groups(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines that belong together: of one paragraph, one heading or one table."""
    group: list[Line] = []
    for line in lines:
        if group and not _goes_on(group, line):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _goes_on(group: Sequence[Line], line: Line) -> bool:
    last = group[-1]
    if len(last.cells) > 1 or len(line.cells) > 1:
        return _is_row_of(last, line)
    if _size(last) != _size(line) or _BULLET.match(line.text):
        return False
    gap = last.bottom - line.top
    if gap < -line.height:
        # The next column or page: a sentence goes on there, and nothing else does.
        return last.text.endswith(HYPHEN) or (line.text[0].islower() and last.text[-1] not in ".!?:")
    return gap <= _PARAGRAPH_GAP * line.height


def _is_row_of(above: Line, line: Line) -> bool:
    """Whether two lines have cells below each other."""
    if len(above.cells) != len(line.cells) or above.bottom - line.top > 2 * line.height:
        return False
    return all(
        upper[0].left < lower[-1].right + line.height and lower[0].left < upper[-1].right + line.height
        for upper, lower in zip(above.cells, line.cells, strict=True)
    )


def _table(rows: Sequence[Line]) -> Table:
    header, *others = ([_cell(words) for words in row.cells] for row in rows)
    aligns: list[Align] = [""] * len(header)
    return Table(header, others, aligns)


def _cell(words: Iterable[Word]) -> list[Inline]:
    return [_text(words)]


def _add_item(blocks: list[Block], text: str) -> None:
    item: list[Block] = [Paragraph([text], is_loose=False)]
    if blocks and isinstance(blocks[-1], Listing):
        blocks[-1].items.append(item)
    else:
        blocks.append(Listing(None, [item]))


def _join(lines: Sequence[Line]) -> str:
    return " ".join(line.text for line in lines).replace(HYPHEN + " ", "").replace(HYPHEN, "-")


def _text(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)


def _size(line: Line) -> float:
    """Rounded, because the same font gives slightly different boxes."""
    return round(line.height * 2) / 2


def _running(pages: Sequence[Sequence[Line]]) -> frozenset[str]:
    """Heads and feet that are on half of the pages at least, whatever the page's number in them."""
    edges = Counter(
        text for page in pages if page for text in {_without_figures(page[0]), _without_figures(page[-1])}
    )
    least = max(_LEAST_RUNNING_PAGES, len(pages) / 2)
    return frozenset(text for text, count in edges.items() if count >= least)


def _without_repeats(pages: Iterable[Iterable[Line]], running: Set[str]) -> Iterator[Line]:
    """All lines, of heads and feet the first ones: a title is often repeated on every page."""
    seen: set[str] = set()
    for page in pages:
        for line in page:
            text = _without_figures(line)
            if text in running:
                if text in seen:
                    continue
                seen.add(text)
            yield line


def _without_figures(line: Line) -> str:
    return _FIGURES.sub("0", line.text)
