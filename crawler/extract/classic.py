"""Markdown by markdownify, from the blocks of the page instead of from its HTML.

Given clean HTML it has few faults left; `_Converter` mends those. It costs about four times what
`crawler.extract.markdown` does by itself, and it is chosen by `CRAWL_MARKDOWN` (see `docs/quality.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from markdownify import MarkdownConverter

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
from crawler.extract.escape import (
    code_span,
    destination,
    escape_heading_end,
    escape_line_start,
    escape_text,
    title_part,
)
from crawler.extract.pieces import Piece, arrange


def write_with_markdownify(blocks: Sequence[Block]) -> str:
    """Markdown of blocks, without a line end after the last line."""
    converter = _Converter(
        heading_style="ATX",
        bullets="*",
        autolinks=False,
        bs4_options="lxml",
        sup_symbol="<sup>",
        sub_symbol="<sub>",
        strip_pre=None,
    )
    text: str = converter.convert("".join(_html(blocks)))
    return text.strip("\n")


class _Converter(MarkdownConverter):
    """markdownify with its known faults mended: escaping, code in cells, languages, alignment."""

    def escape(self, text: str, parent_tags: set[str]) -> str:
        return escape_line_start(escape_text(text, is_in_link="a" in parent_tags))

    def convert_span(self, element: Any, text: str, parent_tags: set[str]) -> str:
        """The only spans are what is Markdown already: images, formulas, boxes of tasks."""
        return str(element.string)

    def convert_a(self, element: Any, text: str, parent_tags: set[str]) -> str:
        stripped = text.strip()
        if not stripped:
            return text
        lead, tail = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
        title = title_part(element.get("title") or "")
        return f"{lead}[{stripped}]({destination(element['href'])}{title}){tail}"

    def convert_code(self, element: Any, text: str, parent_tags: set[str]) -> str:
        return code_span(element.get_text())

    def convert_br(self, element: Any, text: str, parent_tags: set[str]) -> str:
        return "<br>" if {"td", "th"} & parent_tags else " " if "_inline" in parent_tags else "  \n"

    def convert_pre(self, element: Any, text: str, parent_tags: set[str]) -> str:
        code = element.get_text()
        language = element.get("lang") or ""
        fence = "`" * max(3, _longest_run(code) + 1)
        return (
            f"\n\n{fence}{language}\n{code}\n{fence}\n\n" if code else f"\n\n{fence}{language}\n{fence}\n\n"
        )

    def convert_hN(self, n: int, element: Any, text: str, parent_tags: set[str]) -> str:  # noqa: N802
        return f"\n\n{'#' * n} {escape_heading_end(text.strip())}\n\n"

    def convert_td(self, element: Any, text: str, parent_tags: set[str]) -> str:
        return " " + text.strip().replace("\n", " ").replace("|", "\\|") + " |"

    convert_th = convert_td

    def convert_thead(self, element: Any, text: str, parent_tags: set[str]) -> str:
        aligns = [cell.get("align") or "" for cell in element.find_all("th")]
        line = "| " + " | ".join(_ALIGN[align] for align in aligns) + " |\n"
        return text.split("\n", maxsplit=1)[0] + "\n" + line


_ALIGN = {"": "---", "left": ":---", "center": ":---:", "right": "---:"}


def _longest_run(code: str) -> int:
    longest = run = 0
    for character in code:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest


def _html(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        match block:
            case Paragraph(text):
                yield f"<p>{_inline(text)}</p>"
            case Heading(level, text):
                yield f"<h{level}>{_inline(text)}</h{level}>"
            case Code(text, language):
                yield f'<pre lang="{escape(language)}">{escape(text)}</pre>'
            case Rule():
                yield "<hr>"
            case Quote(inner):
                yield "<blockquote>"
                yield from _html(inner)
                yield "</blockquote>"
            case Listing(start, items):
                yield "<ul>" if start is None else f'<ol start="{start}">'
                for item in items:
                    yield "<li>"
                    yield from _html_of_item(item)
                    yield "</li>"
                yield "</ul>" if start is None else "</ol>"
            case Table(header, rows, aligns):
                yield from _html_of_table(header, rows, aligns)


def _html_of_item(item: Sequence[Block]) -> Iterator[str]:
    """Text that the page has not set as a paragraph stays without one, if it is alone: the list is tight."""
    is_alone = sum(isinstance(block, Paragraph) for block in item) == 1
    for block in item:
        if isinstance(block, Paragraph) and is_alone and not block.is_loose:
            yield _inline(block.text)
        else:
            yield from _html([block])


def _html_of_table(
    header: Sequence[list[Inline]], rows: Iterable[Sequence[list[Inline]]], aligns: Sequence[Align]
) -> Iterator[str]:
    yield "<table><thead><tr>"
    for cell, align in zip(header or [[]] * len(aligns), aligns, strict=True):
        yield f'<th align="{align}">{_inline(cell)}</th>'
    yield "</tr></thead><tbody>"
    for row in rows:
        cells = "".join(f"<td>{_inline(cell)}</td>" for cell in row)
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table>"


def _inline(tokens: Iterable[Inline]) -> str:
    html = "".join(_html_of_piece(piece) for piece in arrange(tokens))
    # Right before a link, the mark would make it an image.
    return html.replace("!<a ", "<span>\\!</span><a ")


def _html_of_piece(piece: Piece) -> str:
    match piece.kind:
        case "text":
            return escape(piece.text, quote=False)
        case "code":
            return f"<code>{escape(piece.text, quote=False)}</code>"
        case "raw":
            return f"<span>{escape(piece.text, quote=False)}</span>"
        case "break":
            return "<br>"
        case "open":
            mark = piece.mark
            link = f' href="{escape(mark.href)}" title="{escape(mark.title)}"' if mark.name == "a" else ""
            return f"<{mark.name}{link}>"
        case "close":
            return f"</{piece.mark.name}>"
