"""Blocks as a tree of bs4, for markdownify.

The tree is built directly. To write HTML and to have it parsed costs more than all that markdownify does with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bs4.element import NavigableString, PageElement, Tag

from crawler.extract.blocks import Align, Block, Code, Heading, Inline, Listing, Paragraph, Quote, Rule, Table
from crawler.extract.pieces import Piece, arrange


class _Tag(Tag):
    """A tag whose ancestors are found without bs4's general search: markdownify asks every tag for a `<pre>`."""

    def find_parent(self, name: Any = None, attrs: Any = None, **kwargs: Any) -> Tag | None:
        """The next ancestor called `name`; for any other question as bs4 does."""
        if attrs or kwargs or not isinstance(name, str):
            return super().find_parent(name, attrs, **kwargs)
        parent = self.parent
        while parent is not None and parent.name != name:
            parent = parent.parent
        return parent


def build_soup(blocks: Iterable[Block]) -> Tag:
    """The tree of a document that holds these blocks."""
    tree = _Tree()
    tree.add_blocks(blocks)
    return tree.root


class _Tree:
    """A tree while it grows: nodes are added in document order, as a parser would."""

    def __init__(self) -> None:
        #: The name by which markdownify knows the whole document.
        self.root = _Tag(name="[document]")
        self._parent: Tag = self.root
        self._last: PageElement = self.root
        self._text: list[str] = []

    def add_blocks(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            match block:
                case Paragraph(text):
                    self._add_line("p", text)
                case Heading(level, text):
                    self._add_line(f"h{level}", text)
                case Code(text, language):
                    self._add_text_in("pre", text, lang=language)
                case Rule():
                    self._open("hr")
                    self._close()
                case Quote(inner):
                    self._open("blockquote")
                    self.add_blocks(inner)
                    self._close()
                case Listing(numbers, items):
                    self._add_list(numbers, items)
                case Table(header, rows, aligns):
                    self._add_table(header, rows, aligns)

    def _add_list(self, numbers: Sequence[int] | None, items: Iterable[Sequence[Block]]) -> None:
        if numbers is None:
            self._open("ul")
        else:
            self._open("ol")
        for index, item in enumerate(items):
            self._add_item(item, "*" if numbers is None else f"{numbers[index]}.")
        self._close()

    def _add_item(self, item: Sequence[Block], marker: str) -> None:
        """An item knows how it is marked: markdownify would count the items before each.

        Text that the page has not set as a paragraph stays without one, if it is alone: the list is tight."""
        is_alone = sum(isinstance(block, Paragraph) for block in item) == 1
        self._open("li", marker=marker)
        for block in item:
            if isinstance(block, Paragraph) and is_alone and not block.is_loose:
                self._add_inline(block.text)
            else:
                self.add_blocks([block])
        self._close()

    def _add_table(
        self, header: Sequence[list[Inline]], rows: Iterable[Sequence[list[Inline]]], aligns: Sequence[Align]
    ) -> None:
        self._open("table")
        self._open("thead")
        self._open("tr")
        for cell, align in zip(header or [[]] * len(aligns), aligns, strict=True):
            self._add_line("th", cell, align=align)
        self._close()
        self._close()
        self._open("tbody")
        for row in rows:
            self._open("tr")
            for cell in row:
                self._add_line("td", cell)
            self._close()
        self._close()
        self._close()

    def _add_line(self, name: str, tokens: Iterable[Inline], **attributes: str) -> None:
        self._open(name, **attributes)
        self._add_inline(tokens)
        self._close()

    def _add_inline(self, tokens: Iterable[Inline]) -> None:
        pieces = arrange(tokens)
        for index, piece in enumerate(pieces):
            following = pieces[index + 1] if index + 1 < len(pieces) else None
            self._add_piece(piece, following)

    def _add_piece(self, piece: Piece, following: Piece | None) -> None:
        match piece.kind:
            case "text" if piece.text.endswith("!") and _opens_link(following):
                # Right before a link, the mark would make it an image.
                self._text.append(piece.text[:-1])
                self._add_text_in("span", "\\!")
            case "text":
                self._text.append(piece.text)
            case "code":
                self._add_text_in("code", piece.text)
            case "raw":
                self._add_text_in("span", piece.text)
            case "break":
                self._open("br")
                self._close()
            case "open" if piece.mark.name == "a":
                self._open("a", href=piece.mark.href, title=piece.mark.title)
            case "open":
                self._open(piece.mark.name)
            case "close":
                self._close()

    def _add_text_in(self, name: str, text: str, **attributes: str) -> None:
        self._open(name, **attributes)
        self._text.append(text)
        self._close()

    def _open(self, name: str, **attributes: str) -> None:
        self._end_text()
        # This ties it to the nodes before it, too.
        tag = _Tag(name=name, attrs=attributes, parent=self._parent, previous=self._last)
        self._parent.contents.append(tag)
        self._parent = self._last = tag

    def _close(self) -> None:
        self._end_text()
        assert self._parent.parent is not None
        self._parent = self._parent.parent

    def _end_text(self) -> None:
        """One node for text that is not parted by a tag, and none for no text, as of a parser."""
        if text := "".join(self._text):
            node = NavigableString(text)
            node.setup(self._parent, self._last)
            self._parent.contents.append(node)
            self._last = node
        self._text.clear()


def _opens_link(piece: Piece | None) -> bool:
    return piece is not None and piece.kind == "open" and piece.mark.name == "a"
