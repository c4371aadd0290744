"""The blocks of a page while they are put together: a stack of open blocks and the text that is under way.

Every `start_…` returns what to call at the end of the element. Formatted text may hold blocks in HTML (a link around a
card, for example) but not in Markdown: open marks are ended with the text before such a block, and begun again in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crawler.extract.blocks import (
    Align,
    Block,
    Break,
    Checkbox,
    Code,
    End,
    Heading,
    Image,
    Inline,
    Mark,
    Math,
    Paragraph,
    Quote,
    flatten,
)
from crawler.extract.grid import Cell, Grid, Row
from crawler.extract.lists import Items, define

#: Levels of lists, quotes and tables that are kept; CommonMark renderers give up at 20 to 100.
MAX_NESTING = 20
#: How often emphasis is taken in emphasis; other marks say nothing new inside themselves.
MAX_SAME_MARKS = {"em": 3, "strong": 3}

Leave = Callable[[], None]


@dataclass(slots=True)
class _Frame:
    """An open block: what it holds so far."""

    blocks: list[Block] = field(default_factory=list)
    items: Items | None = None
    grid: Grid | None = None
    definitions: list[tuple[bool, list[Block]]] | None = None

    def take_definitions(self) -> list[tuple[bool, list[Block]]]:
        """Terms and meanings so far; what lies between them is taken for a meaning, so that it stays where it is."""
        assert self.definitions is not None
        if self.blocks:
            self.definitions.append((False, self.blocks))
            self.blocks = []
        return self.definitions


class Outline:
    """Takes a page's elements in document order and gives back its blocks."""

    def __init__(self) -> None:
        self._frames = [_Frame()]
        self._marks: list[Mark] = []
        self._text: list[Inline] = []
        self._has_text = False
        self._is_loose = False
        self._nesting = 0
        self._is_in_heading = False
        #: Words shown so far: runs of text without blanks.
        self.words = 0
        self._is_in_word = False

    def finish(self) -> list[Block]:
        """All blocks, after the last element has ended."""
        self.end_text()
        return self._frames[0].blocks

    def add_text(self, text: str) -> None:
        self._count_words(text)
        if self._has_text:
            self._text.append(text)
        elif not text.isspace():
            self._text.append(text)
            self._has_text = True
        elif self._marks or not text.isascii():
            # Blanks at the start of a block are not shown, except in code and where they are no-break spaces.
            self._text.append(text)

    def add(self, token: Image | Break | Math) -> None:
        self._text.append(token)
        if isinstance(token, Break):
            self._is_in_word = False
        else:
            self._has_text = True

    def add_checkbox(self, *, is_checked: bool) -> None:
        """A task list item begins with its box; other boxes are controls, not content."""
        if self._frames[-1].items is None and not self._has_text and self._is_in_item():
            self._text.append(Checkbox(is_checked))
            self._has_text = True

    def add_block(self, block: Block) -> None:
        if isinstance(block, Code):
            self.words += len(block.text.split())
        self.end_text()
        self._frames[-1].blocks.append(block)

    def end_text(self) -> None:
        """Make a paragraph of the text that is under way."""
        if self._has_text:
            self._text += [End(mark) for mark in reversed(self._marks)]
            self._frames[-1].blocks.append(Paragraph(self._text, self._is_loose))
        self._text = list(self._marks)
        self._has_text = False
        self._is_in_word = False

    def start_mark(self, mark: Mark, label: str = "") -> Leave:
        """Begin formatted text. `label` is its text in case that nothing else is in it."""
        if sum(mark.name == other.name for other in self._marks) >= MAX_SAME_MARKS.get(mark.name, 1):
            return _nothing
        self._marks.append(mark)
        self._text.append(mark)
        begin = len(self._text)
        text = self._text

        def end() -> None:
            if (
                label
                and self._text is text
                and all(isinstance(part, str) and not part.strip() for part in text[begin:])
            ):
                self.add_text(label)
            self._marks.pop()
            self._text.append(End(mark))

        return end

    def start_paragraph(self) -> Leave:
        self.end_text()
        self._is_loose = True

        def end() -> None:
            self.end_text()
            self._is_loose = False

        return end

    def start_heading(self, level: int) -> Leave:
        if self._is_in_heading:
            return self._contain()
        self._open(_Frame())
        self._is_in_heading = True

        def end() -> None:
            blocks = self._close().blocks
            self._is_in_heading = False
            if blocks:
                self.add_block(Heading(level, flatten(blocks, " ")))

        return end

    def start_quote(self) -> Leave:
        if not self._nest():
            return self._contain()
        self._open(_Frame())

        def end() -> None:
            self._nesting -= 1
            if blocks := self._close().blocks:
                self.add_block(Quote(blocks))

        return end

    def start_list(self, items: Items) -> Leave:
        if not self._nest():
            return self._contain()
        self._open(_Frame(items=items))

        def end() -> None:
            self._nesting -= 1
            items.adopt(self._close().blocks)
            if items.items:
                self.add_block(items.to_block())

        return end

    def start_item(self, value: int | None) -> Leave:
        """`value` is the number that the item gives itself."""
        frame = self._frames[-1]
        items = frame.items
        if items is None:
            return self._contain()
        self.end_text()
        items.adopt(frame.blocks)
        frame.blocks = []
        self._open(_Frame())
        return lambda: items.add(self._close().blocks, value)

    def start_table(self, *, is_presentation: bool) -> Leave:
        if not self._nest():
            return self._contain()
        self._open(_Frame(grid=Grid(is_presentation)))

        def end() -> None:
            self._nesting -= 1
            frame = self._close()
            assert frame.grid is not None
            # What is in a table but in no cell is its caption.
            self._frames[-1].blocks += frame.blocks
            self._frames[-1].blocks += frame.grid.to_blocks()

        return end

    def start_row(self, section: str, group: int) -> Leave:
        """`section` is the tag around the row, `group` tells apart two with the same tag."""
        grid = self._frames[-1].grid
        if grid is not None:
            grid.rows.append(Row(section, group))
        return self._contain()

    def start_cell(self, *, is_header: bool, colspan: int, rowspan: int, align: Align) -> Leave:
        grid = self._frames[-1].grid
        if grid is None or not grid.rows:
            return self._contain()
        cells = grid.rows[-1].cells
        self._open(_Frame())
        return lambda: cells.append(Cell(self._close().blocks, is_header, colspan, rowspan, align))

    def start_definitions(self) -> Leave:
        if not self._nest():
            return self._contain()
        self._open(_Frame(definitions=[]))

        def end() -> None:
            self._nesting -= 1
            blocks = define(self._close().take_definitions())
            self._frames[-1].blocks += blocks

        return end

    def start_definition(self, *, is_term: bool) -> Leave:
        if self._frames[-1].definitions is None:
            return self._contain()
        self.end_text()
        definitions = self._frames[-1].take_definitions()
        self._open(_Frame())
        return lambda: definitions.append((is_term, self._close().blocks))

    def _count_words(self, text: str) -> None:
        """Formatting may begin and end within a word."""
        if text:
            self.words += len(text.split()) - (self._is_in_word and not text[0].isspace())
            self._is_in_word = not text[-1].isspace()

    def _contain(self) -> Leave:
        """A block without form: the text before it and in it are two paragraphs."""
        self.end_text()
        return self.end_text

    def _nest(self) -> bool:
        if self._nesting == MAX_NESTING:
            return False
        self._nesting += 1
        return True

    def _is_in_item(self) -> bool:
        return len(self._frames) > 1 and self._frames[-2].items is not None and not self._frames[-1].blocks

    def _open(self, frame: _Frame) -> None:
        self.end_text()
        self._frames.append(frame)

    def _close(self) -> _Frame:
        self.end_text()
        return self._frames.pop()


def _nothing() -> None:
    """What ends with a mark that is open already: nothing."""
