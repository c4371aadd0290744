"""Lists as browsers show them: the numbers of their items, what lies between items, and terms with their meanings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from crawler.extract.blocks import (
    Block,
    Break,
    Inline,
    Listing,
    Meaning,
    Paragraph,
    flatten,
    join,
)


@dataclass(slots=True)
class Items:
    """A list while it is read: `start` is what the page says, None if it does not; `values` by place in the list."""

    is_ordered: bool
    start: int | None = None
    is_reversed: bool = False
    items: list[list[Block]] = field(default_factory=list)
    values: dict[int, int] = field(default_factory=dict)

    def adopt(self, blocks: list[Block]) -> None:
        """Give what lies in a list between its items to the item before: that is where it is shown."""
        if not blocks:
            return
        if self.items:
            self.items[-1] += blocks
        else:
            self.items.append(blocks)

    def add(self, blocks: list[Block], value: int | None) -> None:
        """One item, and the number that it gives itself."""
        if value is not None:
            self.values[len(self.items)] = value
        self.items.append(blocks)

    def to_block(self) -> Listing:
        """The whole list."""
        if not self.is_ordered:
            return Listing(None, self.items)
        default = len(self.items) if self.is_reversed else 1
        start = default if self.start is None else self.start
        return Listing(_count(len(self.items), start, -1 if self.is_reversed else 1, self.values), self.items)


def _count(items: int, start: int, step: int, values: Mapping[int, int]) -> list[int]:
    """The ordinal value of each item (HTML Standard 4.4.8). Markdown has no negative numbers."""
    numbers: list[int] = []
    for index in range(items):
        number = numbers[-1] + step if numbers else start
        numbers.append(max(values.get(index, number), 0))
    return numbers


def define(definitions: Iterable[tuple[bool, list[Block]]]) -> list[Block]:
    """A glossary as `term`, new line, `: meaning`; a list of items where a meaning is more than one paragraph.

    `definitions` are terms and meanings in their order, terms marked True. Meanings before any term are no meanings:
    pages indent text in this way.
    """
    indented: list[Block] = []
    groups: list[tuple[list[Inline], list[list[Block]]]] = []
    was_term = False
    for is_term, blocks in definitions:
        if not is_term and not groups:
            indented += blocks
        elif not is_term:
            groups[-1][1].append(blocks)
        elif was_term:
            groups[-1] = (join([groups[-1][0], flatten(blocks, " ")], Break()), [])
        else:
            groups.append((flatten(blocks, " "), []))
        was_term = is_term
    if all(_is_line(meaning) for _, meanings in groups for meaning in meanings):
        return [*indented, *(Paragraph(_line(term, meanings), is_loose=True) for term, meanings in groups)]
    return [*indented, Listing(None, [_item(term, meanings) for term, meanings in groups])]


def _is_line(meaning: list[Block]) -> bool:
    return len(meaning) == 1 and isinstance(meaning[0], Paragraph)


def _line(term: list[Inline], meanings: Iterable[list[Block]]) -> list[Inline]:
    return [*term, *(token for meaning in meanings for token in (Meaning(), *flatten(meaning, " ")))]


def _item(term: list[Inline], meanings: Iterable[list[Block]]) -> list[Block]:
    blocks = [block for meaning in meanings for block in meaning]
    return [Paragraph(term, is_loose=True), *blocks] if term else blocks
