"""XHTML that was sent as XML, written so that an HTML parser reads it as it was meant.

That parser takes no notice of the slash in `<script/>`, so that the rest of the page becomes the script, and has no
CDATA sections (XML 1.0, 2.7 and 3.1; HTML Standard 13.2.5).
"""

from __future__ import annotations

import re
from html import escape

from crawler.extract.attributes import WRITTEN

#: Elements that never have an end tag in HTML. In `svg` and `math` the parser does honour the slash, and there is no
#: difference between an element with it and one with nothing before its end tag.
_VOID = frozenset([
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "img", "input", "keygen", "link",
    "meta", "param", "source", "track", "wbr",
])  # fmt: skip
#: Elements whose content is text in HTML whatever it looks like. They have readers that know CDATA sections.
_OPAQUE = frozenset(["script", "style"])
#: Comments and processing instructions are passed over, lest what looks like markup in them is changed. What begins
#: always ends, at the latest with the page, so that nothing is read twice.
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<!\[CDATA\[(?P<text>.*?)(?:\]\]>|\Z)"
    rf"|<(?P<end>/?)(?P<name>[a-zA-Z][^\t\n\f\r />]*){WRITTEN}",
    re.DOTALL,
)


def rewrite_as_html(xhtml: str) -> str:
    """The page with an end tag for each empty element that HTML does not know as such, and CDATA sections as text."""
    #: The script or style that is open.
    opaque = ""

    def rewrite(markup: re.Match[str]) -> str:
        nonlocal opaque
        written, text, name = markup[0], markup["text"], (markup["name"] or "").lower()
        if text is not None:
            # In JSON and in strings of scripts the escaped slash is the same, and it does not end the element.
            return written.replace("</", "<\\/") if opaque else escape(text, quote=False)
        if opaque:
            if markup["end"] and name == opaque:
                opaque = ""
        elif markup["slash"] and not markup["end"]:
            return written if name in _VOID else f"{written}</{markup['name']}>"
        elif name in _OPAQUE and not markup["end"]:
            opaque = name
        return written

    return _MARKUP.sub(rewrite, xhtml)
