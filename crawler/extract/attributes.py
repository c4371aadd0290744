"""Attributes of elements, read as HTML reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from crawler.extract.blocks import Align

Attributes = Mapping[str, str | None]

#: What follows the name in a start tag, as it is written, with its end or that of the page (HTML Standard 13.2.5.32 and
#: on): `>` in a quoted value does not end the tag, and a slash in an unquoted one does not close it. A pattern that
#: matches whatever comes, so it never goes back.
WRITTEN = (
    r"(?:[^>=/]+|(?!/>)/|=[\t\n\f\r ]*(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|[^\t\n\f\r \"'>][^\t\n\f\r >]*)?)*+"
    r"(?P<slash>/?)(?:>|\Z)"
)

_ALIGN_STYLE = re.compile(r"text-align\s*:\s*(left|center|right)", re.IGNORECASE)
#: Asciidoctor's, Bootstrap's and WordPress's classes.
_ALIGN_CLASS = re.compile(r"(?:^|[\s-])(?:halign|text|text-align)-(left|center|right)(?=\s|$)")


def number_of(text: str | None) -> int | None:
    """A non-negative integer as HTML reads it, cut at nine digits as Markdown cuts it; None for anything else."""
    match = re.match(r"\s*\+?([0-9]{1,12})", text or "")
    return min(int(match.group(1)), 999_999_999) if match else None


def align_of(attributes: Attributes) -> Align:
    """How a cell is set: by its style, a class or the attribute of old."""
    match = _ALIGN_STYLE.search(attributes.get("style") or "") or _ALIGN_CLASS.search(
        attributes.get("class") or ""
    )
    match (match.group(1) if match else attributes.get("align") or "").lower():
        case "left":
            return "left"
        case "center":
            return "center"
        case "right":
            return "right"
    return ""
