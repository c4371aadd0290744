"""The elements of HTML by what they are in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from crawler.extract.blocks import MarkName

#: Not shown, or not text.
DROPPED = frozenset([
    "style", "template", "noscript", "head", "title", "iframe", "object", "embed", "canvas", "noembed",
    "noframes", "datalist", "col", "colgroup", "desc", "defs", "metadata", "rp",
])  # fmt: skip
MARKS: Mapping[str, MarkName] = {
    "em": "em",
    "i": "em",
    "strong": "strong",
    "b": "strong",
    "del": "del",
    "s": "del",
    "strike": "del",
    "code": "code",
    "kbd": "code",
    "samp": "code",
    "tt": "code",
    "sup": "sup",
    "sub": "sub",
}
HEADINGS: Mapping[str, int] = {f"h{level}": level for level in range(1, 7)}
CODE_BLOCKS = frozenset(["pre", "listing", "xmp", "plaintext"])
#: Blocks without a form of their own in Markdown: they only end the text before them.
CONTAINERS = frozenset([
    "address", "article", "aside", "body", "caption", "center", "details", "dialog", "div", "fieldset", "figcaption",
    "figure", "footer", "form", "header", "hgroup", "legend", "main", "nav", "optgroup", "search", "section", "tbody",
    "tfoot", "thead",
])  # fmt: skip
#: Inline, but never glued to their neighbours on the screen.
SPACED = frozenset(["button", "option", "select", "text", "textarea"])
#: What browsers put around the text of an element.
QUOTED = {"q": ('"', '"'), "rt": ("(", ")")}
