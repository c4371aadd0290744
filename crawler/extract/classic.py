"""Markdown by markdownify, from the blocks of the page instead of from its HTML.

Given a clean tree it has few faults left; `_Converter` mends those. It costs about twice what
`crawler.extract.markdown` does by itself, and it is chosen by `CRAWL_MARKDOWN` (see `docs/quality.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdownify import MarkdownConverter

from crawler.extract.blocks import Block
from crawler.extract.escape import (
    code_span,
    destination,
    escape_heading_end,
    escape_line_start,
    escape_text,
    title_part,
)
from crawler.extract.soup import build_soup


def write_with_markdownify(blocks: Sequence[Block]) -> str:
    """Markdown of blocks, without a line end after the last line."""
    converter = _Converter(
        heading_style="ATX",
        bullets="*",
        autolinks=False,
        sup_symbol="<sup>",
        sub_symbol="<sub>",
        strip_pre=None,
    )
    text: str = converter.convert_soup(build_soup(blocks))
    return text.strip("\n")


class _Converter(MarkdownConverter):
    """markdownify with its known faults mended: escaping, code in cells, languages, alignment."""

    def process_text(self, el: Any, parent_tags: set[str] | None = None) -> str:
        """The text as it is: it has no superfluous blanks left that would have to be found, at each of its sides."""
        tags = parent_tags or set()
        return str(el) if "_noformat" in tags else self.escape(str(el), tags)

    def escape(self, text: str, parent_tags: set[str]) -> str:
        return escape_line_start(escape_text(text, is_in_link="a" in parent_tags))

    def convert_span(self, element: Any, text: str, parent_tags: set[str]) -> str:
        """The only spans are what is Markdown already: images, formulas, boxes of tasks."""
        return str(element.string)

    def convert_li(self, element: Any, text: str, parent_tags: set[str]) -> str:
        # Not no-break spaces: what stands behind them is escaped as text that does not begin a line.
        text = text.strip(" \n")
        if not text:
            return "\n"
        marker = f"{element['marker']} "
        first, *others = text.split("\n")
        indented = (" " * len(marker) + line if line else "" for line in others)
        return "\n".join([marker + first, *indented]) + "\n"

    def convert_ol(self, element: Any, text: str, parent_tags: set[str]) -> str:
        if "li" not in parent_tags:
            return f"\n\n{text}\n"
        # Right under a text only a list that begins with one is seen as one (CommonMark 5.3).
        return ("\n" if text.lstrip().startswith("1.") else "\n\n") + text.rstrip()

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

    def convert_tr(self, element: Any, text: str, parent_tags: set[str]) -> str:
        """All tables have a head, so there is no need to search for one in every row."""
        return f"|{text}\n"

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
