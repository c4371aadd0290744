"""Backslashes for text that Markdown would otherwise take for markup, and no more of them than that.

Sections are those of CommonMark 0.31 and of GitHub's dialect (GFM).
"""

from __future__ import annotations

import re

_SPECIAL = re.compile(r"[\\`*_\[\]<&~]")
#: A backslash escapes punctuation and the end of a line, and nothing else (2.4).
_BACKSLASH = re.compile(r"\\(?=[!-/:-@\[-`{-~]|$)", re.MULTILINE)
#: A star between blanks can neither open nor close (6.2).
_STAR = re.compile(r"\*(?! )|(?<! )\*")
#: Underscores inside a word neither (6.2): `snake_case` stays as it is.
_UNDERSCORES = re.compile(r"(?<!\w)_+|_+(?!\w)")
#: Brackets alone are text: a link needs `(`, `[` or `:` behind them (6.3, 4.7).
_CLOSING_BRACKET = re.compile(r"\](?=[\[(:])")
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY_START = re.compile(r"&(?=#?\w+;)")

_LINE_START = re.compile(
    r"(#{1,6}(?=\s|$)"  # heading (4.2)
    r"|>"  # quote (5.1)
    r"|[-+](?=\s|$)"  # list item (5.2)
    r"|[0-9]{1,9}(?=[.)](?:\s|$))"  # numbered list item (5.2)
    r"|[-=|:](?=[-=|: ]*$))"  # rule, underline of a heading, second line of a table (4.1, 4.3, GFM 4.10)
)
_CLOSING_HASHES = re.compile(r"(?:(?<=\s)|^)(#+)$")
_CHECKBOX = re.compile(r"\[(?=[ xX]\](?:\s|$))")
_UNFIT_FOR_TARGET = re.compile(r"[\s<>\\]")


def escape_text(text: str, *, is_in_link: bool) -> str:
    """A run of text inside a line. What is special only at the start of a line is `escape_line_start`'s."""
    if not _SPECIAL.search(text):
        return text
    text = _BACKSLASH.sub(r"\\\\", text)
    text = text.replace("`", "\\`")
    text = _STAR.sub(r"\\*", text)
    text = _UNDERSCORES.sub(lambda match: "\\_" * len(match.group()), text)
    text = text.replace("[", "\\[").replace("]", "\\]") if is_in_link else _CLOSING_BRACKET.sub(r"\\]", text)
    text = _TAG_START.sub(r"\\<", text)
    text = _ENTITY_START.sub(r"\\&", text)
    # One tilde alone is nothing, unless it meets those of a deletion around the text (GFM 6.5).
    if text.count("~") > 1 or text[0] == "~" or text[-1] == "~":
        text = text.replace("~", "\\~")
    return text


def escape_line_start(line: str) -> str:
    """A line of text (already escaped inside) that would begin a block of another kind."""
    match = _LINE_START.match(line)
    if match is None:
        return _CHECKBOX.sub(r"\\[", line, count=1) if line.startswith("[") else line
    marker = match.group()
    # A number is not escaped itself: the dot behind it is.
    return f"{marker}\\{line[len(marker) :]}" if marker[0].isdigit() else f"\\{line}"


def escape_heading_end(text: str) -> str:
    """Number signs at the end of a heading would be taken for its closing sequence (4.2)."""
    return _CLOSING_HASHES.sub(r"\\\1", text)


def code_span(text: str) -> str:
    """Code inside a line, in more backticks than it holds in a row (6.1)."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    is_stripped = text[:1] == " " == text[-1:] and not text.isspace()
    padding = " " if is_stripped or text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def destination(url: str) -> str:
    """The target of a link or an image (6.3)."""
    if not url or _UNFIT_FOR_TARGET.search(url) or not _is_balanced(url):
        escaped = re.sub(r"([<>\\])", r"\\\1", re.sub(r"[\r\n]", "", url))
        return f"<{escaped}>"
    return _ENTITY_START.sub(r"\\&", url)


def _is_balanced(url: str) -> bool:
    depth = 0
    for parenthesis in re.findall(r"[()]", url):
        depth += 1 if parenthesis == "(" else -1
        if depth < 0:
            return False
    return depth == 0


def title_part(title: str) -> str:
    """The title behind a target, with the blank before it; empty when there is none."""
    title = " ".join(title.split())
    if not title:
        return ""
    escaped = re.sub(r"([\"\\])", r"\\\1", title)
    return f' "{_ENTITY_START.sub("&amp;", escaped)}"'
