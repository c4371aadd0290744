"""Tables and definition lists that hold data: labels with values, and rows under headings."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.structured.texts import text_of

MAX_TABLES = 50
MAX_ROWS = 200
MAX_CELLS = 30
MAX_PAIRS = 300
_MAX_LABEL_CHARS = 80
_MAX_CELL_CHARS = 1_000

_IN_BRACKETS = re.compile(r"\s*[(\[][^()\[\]]*[)\]]$")

Row = dict[str, str]


def read_tables(parser: LexborHTMLParser) -> tuple[dict[str, str], tuple[tuple[Row, ...], ...]]:
    """Pairs by label, the first of each, and the rows of tables with a heading line. A table with another in it is
    layout and gives nothing; the one in it is read."""
    pairs: dict[str, str] = {}
    tables: list[tuple[Row, ...]] = []
    for table in parser.css("table")[:MAX_TABLES]:
        # A table is among its own matches.
        if len(table.css("table")) > 1:
            continue
        rows = [_cells(row) for row in table.css("tr")[:MAX_ROWS]]
        rows = [row for row in rows if row]
        if rows and len(rows[0]) > 1 and all(cell.tag == "th" for cell in rows[0]):
            heading = [_label(cell) for cell in rows[0]]
            body = [_row(heading, row) for row in rows[1:] if len(row) == len(heading)]
            if body:
                tables.append(tuple(body))
        else:
            for row in rows:
                if len(row) == 2:
                    _add(pairs, row[0], row[1])
    for label in parser.css("dl > dt, dl > div > dt")[:MAX_PAIRS]:
        value = label.next
        while value is not None and value.tag == "-text":
            value = value.next
        if value is not None and value.tag == "dd":
            _add(pairs, label, value)
    return pairs, tuple(tables)


def _label(cell: LexborNode) -> str:
    """The text of a label, without the unit or note in brackets behind it."""
    text = text_of(cell, _MAX_LABEL_CHARS + 1).rstrip(": ")
    return _IN_BRACKETS.sub("", text) or text


def _cells(row: LexborNode) -> list[LexborNode]:
    return [cell for cell in row.iter() if cell.tag in {"td", "th"}][:MAX_CELLS]


def _row(heading: list[str], cells: list[LexborNode]) -> Row:
    texts = [text_of(cell, _MAX_CELL_CHARS) for cell in cells]
    return {label: text for label, text in zip(heading, texts, strict=True) if label and text}


def _add(pairs: dict[str, str], label: LexborNode, value: LexborNode) -> None:
    name = _label(label)
    text = text_of(value, _MAX_CELL_CHARS)
    if name and text and len(name) <= _MAX_LABEL_CHARS and len(pairs) < MAX_PAIRS:
        pairs.setdefault(name, text)
