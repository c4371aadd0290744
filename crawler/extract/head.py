"""The head of a page, read as a browser with scripts reads it: what its `noscript` elements hold is not shown.

The parser works as if there were no scripts. For it, whatever is no metadata in such an element, the image of a counter
for example, ends the head and is content of the page (HTML Standard 13.2.6.4.5).
"""

from __future__ import annotations

import re

from crawler.extract.attributes import WRITTEN

_NOSCRIPT = re.compile("(?i:<noscript)")
#: What a head may hold before a `noscript`, after blanks: a comment, the start tag of an element that goes on to its
#: end tag, any other tag that does not end the head. What goes past a name always goes on to its end: it is linear.
_PART = re.compile(
    r"[\t\n\f\r ]*(?:<!--(?:-?>|.*?(?:--!?>|\Z))|<[!?][^>]*(?:>|\Z)|(?P<tag><(?i:"
    r"(?P<element>noframes|noscript|script|style|template|title)|html|head|base|basefont|bgsound|link|meta"
    r"|/(?:base|basefont|bgsound|link|meta|noframes|noscript|script|style|template|title))"
    rf"(?=[\t\n\f\r />]){WRITTEN}))",
    re.DOTALL,
)


def move_noscript(html: str) -> str:
    """The page, with the `noscript` elements of its head behind all else.

    There they are in its body, where they are dropped like any other, but for the links in them.
    """
    if not _NOSCRIPT.search(html):
        return html
    kept: list[str] = []
    moved: list[str] = []
    begin = position = 0
    while part := _PART.match(html, position):
        position = part.end()
        if element := part["element"]:
            end = re.compile(rf"</{element}(?=[\t\n\f\r />])[^>]*(?:>|\Z)", re.IGNORECASE).search(
                html, position
            )
            if end is None:
                break
            position = end.end()
            if element.lower() == "noscript":
                kept.append(html[begin : part.start("tag")])
                moved.append(html[part.start("tag") : position])
                begin = position
    return "".join((*kept, html[begin:], *moved)) if moved else html
