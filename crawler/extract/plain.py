"""The text of HTML that cannot be parsed in time or memory: found by scanning once, without a tree."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Iterator

from crawler.extract.escape import escape_line_start, escape_text

#: Deepest nesting that is given to the parser, whose time grows with its square.
MAX_DEPTH = 2000
#: Fewer tags than this cannot hurt, however they nest.
HARMLESS_TAGS = 10_000

#: Elements whose content is not text.
_OPAQUE = frozenset(["script", "style", "template", "noscript", "head"])
#: Elements whose end tag may be left out: each of them ends the one before, so they do not nest.
_SELF_ENDING = frozenset([
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "dt", "dd", "option", "optgroup", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "rt", "rp",
])  # fmt: skip
_INLINE = frozenset([
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd", "label",
    "mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
])  # fmt: skip
#: A `<` before anything else is text.
_MARKUP = re.compile(r"<(?=[a-zA-Z/!?])")
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)


def is_too_deep(html: str) -> bool:
    """Whether the page nests deeper than `MAX_DEPTH`, as far as its tags tell."""
    if html.count("<") < HARMLESS_TAGS:
        return False
    depth = 0
    for match in _TAG.finditer(html):
        is_end, name = match.groups()
        if name.lower() not in _SELF_ENDING:
            depth += -1 if is_end else 1
            if depth > MAX_DEPTH:
                return True
            depth = max(depth, 0)
    return False


def plain_title(html: str) -> str:
    """The title of the page, if it is where it belongs: near the start."""
    match = _TITLE.search(html, 0, 65_536)
    return " ".join(entities.unescape(match.group(1)).split())[:1024] if match else ""


def plain_text(html: str) -> str:
    """The text of a page as Markdown paragraphs, one for each run of text between blocks."""
    lines = ("".join(line).split() for line in _lines(html))
    texts = (" ".join(words) for words in lines if words)
    return "\n\n".join(escape_line_start(escape_text(text, is_in_link=False)) for text in texts)


def _lines(html: str) -> Iterator[list[str]]:
    """The pieces of each run of text. Linear: every step goes forward, and a search without result is the last."""
    line: list[str] = []
    position = 0
    while markup := _MARKUP.search(html, position):
        start = markup.start()
        line.append(entities.unescape(html[position:start]))
        tag = _TAG.match(html, start)
        if tag is not None:
            if tag.group(2).lower() not in _INLINE:
                yield line
                line = []
            position = _after_tag(html, tag)
        elif html.startswith("<!--", start):
            position = _after(html, "-->", start)
        else:
            position = _after(html, ">", start)
    line.append(entities.unescape(html[position:]))
    yield line


def _after_tag(html: str, tag: re.Match[str]) -> int:
    """Where to go on: behind the tag, and behind the whole element if it holds no text."""
    position = _after(html, ">", tag.end())
    name = tag.group(2).lower()
    if tag.group(1) or name not in _OPAQUE:
        return position
    end = re.compile(f"</{name}", re.IGNORECASE).search(html, position)
    return end.start() if end else len(html)


def _after(html: str, mark: str, position: int) -> int:
    found = html.find(mark, position)
    return len(html) if found < 0 else found + len(mark)
