"""Which elements of a page are not shown, as far as the page alone tells: there are no style sheets here."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborNode

from crawler.extract.attributes import Attributes

_HIDING_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)(?![\w-])", re.IGNORECASE
)
#: Formulas are shown as boxes of glyphs (KaTeX, MathJax 2) next to the TeX or MathML that is read.
_FORMULA_BOXES = frozenset([
    "katex-html", "MathJax", "MathJax_Preview", "MathJax_Display", "MathJax_SVG", "MathJax_SVG_Display",
    "MathJax_CHTML",
])  # fmt: skip
#: Elements that `aria-hidden` marks as ornament: icons, line numbers, what is said once more for the eye.
_ORNAMENTS = frozenset(
    ["a", "b", "button", "div", "em", "i", "label", "nobr", "small", "span", "strong", "sub", "sup"]
)
_CONTENT = (
    "p, div, pre, table, ul, ol, dl, blockquote, h1, h2, h3, h4, h5, h6, section, article, main, "
    "img, math, video"
)
#: Links behind headings to themselves, which style sheets hide until the mouse is there: those of Sphinx, MkDocs,
#: VitePress, Docusaurus and Jupyter. Others have a text that is not seen, or a pilcrow.
_PERMALINKS = frozenset(["headerlink", "header-anchor", "hash-link", "anchor-link"])
_UNSEEN = re.compile(r"[\s\u200b\ufeff¶]*")


def is_hidden(tag: str, attributes: Attributes) -> bool:
    """Whether an element with these attributes is not shown."""
    if "hidden" in attributes and (attributes["hidden"] or "").lower() != "until-found":
        return True
    if "popover" in attributes:
        return True
    if (style := attributes.get("style")) and _HIDING_STYLE.search(style):
        return True
    if tag == "dialog":
        return "open" not in attributes
    if (names := attributes.get("class")) and ("katex" in names or "MathJax" in names):
        # MathJax 3 names its element so, which holds the MathML.
        return tag != "mjx-container" and not _FORMULA_BOXES.isdisjoint(names.split())
    return False


def is_ornament(node: LexborNode, tag: str) -> bool:
    """Whether an element that is `aria-hidden` only decorates what is shown.

    A dialog that is open hides the whole page behind it in this way, so nothing with content in it is an ornament.
    """
    return tag in _ORNAMENTS and all(found.mem_id == node.mem_id for found in node.css(_CONTENT))


def is_permalink(node: LexborNode, attributes: Attributes) -> bool:
    """Whether a link to a place in the page is only a sign for that place."""
    text = node.text()
    if not _UNSEEN.fullmatch(text) and _PERMALINKS.isdisjoint((attributes.get("class") or "").split()):
        return False
    return not any(map(str.isalnum, text)) and node.css_first("img") is None
