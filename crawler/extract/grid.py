"""Tables of HTML to grids of Markdown, which know no spans and no blocks in cells.

A spanned place is an empty cell. A column that no cell begins in is left out, so the size of the grid depends on the
cells of the page and never on the numbers in `colspan` and `rowspan`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crawler.extract.blocks import (
    Align,
    Block,
    Break,
    Code,
    Heading,
    Inline,
    Listing,
    Paragraph,
    Quote,
    Table,
    flatten,
    join,
)

#: HTML Standard 4.9.11: larger spans count as these.
MAX_COLSPAN = 1000
MAX_ROWSPAN = 65534
#: Work for placing cells around row spans, in row times span.
MAX_PLACING = 1_000_000
#: Blocks that a cell of a data table seldom holds.
_LAYOUT = (Table, Heading, Code, Listing, Quote)


@dataclass(frozen=True, slots=True)
class Cell:
    blocks: list[Block]
    is_header: bool
    colspan: int = 1
    rowspan: int = 1
    align: Align = ""


@dataclass(slots=True)
class Row:
    """`section` is the tag that the row is in; `group` is the same for all rows in that very element."""

    section: str
    group: int
    cells: list[Cell] = field(default_factory=list)


@dataclass(slots=True)
class Grid:
    """The rows of one table while it is read."""

    is_presentation: bool
    rows: list[Row] = field(default_factory=list)

    def to_blocks(self) -> list[Block]:
        """The table, or what its cells hold one after the other where the table only laid out the page."""
        # A foot is shown below, wherever it is written.
        ordered = sorted(self.rows, key=lambda row: row.section == "tfoot")
        placed = [
            (row, row_starts)
            for row, row_starts in zip(ordered, _place(ordered), strict=True)
            if any(cell.blocks for cell in row.cells)
        ]
        rows = [row.cells for row, _ in placed]
        cells = [cell for row in rows for cell in row]
        if not cells:
            return []
        if self._is_layout(cells):
            return [block for cell in cells for block in cell.blocks]
        texts = [[flatten(cell.blocks, Break()) for cell in row] for row in rows]
        starts = [row_starts for _, row_starts in placed]
        columns = sorted({start for row in starts for start in row})
        if len(columns) * len(rows) > 4 * len(cells) + 1000:
            # Far more places than cells: as a grid it would be larger than the page by any factor.
            return [Paragraph(join(row, ", "), is_loose=True) for row in texts]
        index = {start: number for number, start in enumerate(columns)}
        grid: list[list[list[Inline]]] = [[[] for _ in columns] for _ in rows]
        aligns: list[Align] = ["" for _ in columns]
        for line, row_starts, row, row_texts in zip(grid, starts, rows, texts, strict=True):
            for start, cell, text in zip(row_starts, row, row_texts, strict=True):
                line[index[start]] = text
                aligns[index[start]] = aligns[index[start]] or cell.align
        has_header = all(cell.is_header for cell in rows[0]) or placed[0][0].section == "thead"
        return [Table(grid[0], grid[1:], aligns) if has_header else Table([], grid, aligns)]

    def _is_layout(self, cells: list[Cell]) -> bool:
        if self.is_presentation or len(cells) == 1:
            return True
        if any(row.section == "thead" for row in self.rows) or any(cell.is_header for cell in cells):
            return False
        return any(
            len(cell.blocks) > 2 or isinstance(block, _LAYOUT) for cell in cells for block in cell.blocks
        )


def _place(rows: list[Row]) -> list[list[int]]:
    """The column in which each cell begins ("forming a table", HTML Standard 4.9.12)."""
    spanning = sum(cell.rowspan > 1 for row in rows for cell in row.cells)
    honours_rowspan = spanning * len(rows) <= MAX_PLACING
    starts: list[list[int]] = []
    #: Places taken by cells from rows above: first column, column after the last, rows still to come.
    taken: list[tuple[int, int, int]] = []
    group: int | None = None
    for row in rows:
        if row.group != group:
            group, taken = row.group, []
        column = 0
        row_starts: list[int] = []
        below = [(first, end, left - 1) for first, end, left in taken if left > 1]
        for cell in row.cells:
            for first, end, _ in taken:
                if first <= column < end:
                    column = end
            row_starts.append(column)
            end = column + min(cell.colspan, MAX_COLSPAN)
            if cell.rowspan > 1 and honours_rowspan:
                below.append((column, end, cell.rowspan - 1))
            column = end
        starts.append(row_starts)
        taken = sorted(below)
    return starts
