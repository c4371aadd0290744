"""Compare Markdown by what it means: render it with a CommonMark renderer and compare text and structure.

Two texts are equal when their rendered documents have the same outline: the same elements (`KEPT`) in the same
nesting with the same text. White space is compared as a browser shows it: runs collapse outside `pre`, and blanks at
the edges of a block do not count. Whether a list is loose (its items hold paragraphs) is taste and not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import ada_url
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser, LexborNode

#: Elements that carry meaning, and the name under which they are compared.
BLOCKS = frozenset(
    [
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "blockquote",
        "pre",
        "hr",
        "table",
        "tr",
        "th",
        "td",
    ]
)
INLINES = {
    **dict.fromkeys(["b", "strong"], "strong"),
    **dict.fromkeys(["i", "em"], "em"),
    **dict.fromkeys(["s", "strike", "del"], "del"),
    **dict.fromkeys(["code", "kbd", "samp", "tt"], "code"),
    **{name: name for name in ("a", "img", "br")},
}
KEPT = {name: name for name in BLOCKS} | INLINES
ATTRIBUTES = {"a": ("href", "title"), "img": ("src", "alt", "title"), "ol": ("start",)}
#: Elements at whose edges blanks are not shown.
EDGED = BLOCKS | {"#root"}
SPACE = re.compile(r"[ \t\r\n\f]+")
#: Renderers take no-break spaces off the ends of a block, too.
EDGES = " \xa0"


@dataclass(slots=True)
class Element:
    """One kept element: its name with the attributes that count, and its children in order."""

    name: str
    label: str
    children: list[Element | str] = field(default_factory=list)


def renderer() -> MarkdownIt:
    """CommonMark with the GFM tables and strikethrough that our Markdown uses."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def rendered(markdown: str) -> str:
    return str(renderer().render(markdown))


def outline(html: str, url: str) -> str:
    """The meaning of a document, one element or text per line, indented by its nesting."""
    root = Element("#root", "#root")
    body = LexborHTMLParser(html).body
    if body is not None:
        _collect(body, root, url, pre=False)
    _trim(root)
    return "\n".join(_lines(root, 0))


def same(left_html: str, right_html: str, url: str) -> bool:
    """Whether two documents mean the same; links and images are compared as absolute URLs."""
    return outline(left_html, url) == outline(right_html, url)


def lost_text(html: str, markdown: str) -> str:
    """The first characters of the page that its Markdown does not show, or nothing. Blanks do not count."""
    shown = iter(characters(rendered(markdown)))
    wanted = characters(html)
    for position, character in enumerate(wanted):
        if character not in shown:  # goes forward in `shown` until it finds it
            return wanted[max(0, position - 30) : position + 30]
    return ""


def characters(html: str) -> str:
    """All that a document shows, without blanks."""
    parser = LexborHTMLParser(html)
    parser.strip_tags(["script", "style", "template", "noscript", "head"], recursive=True)
    return "".join(parser.text().split())


def _collect(node: LexborNode, into: Element, url: str, *, pre: bool) -> None:
    child = node.child
    while child is not None:
        if child.is_text_node:
            text = child.text_content or ""
            _append_text(into, text if pre else SPACE.sub(" ", text))
        elif child.is_element_node:
            tag = child.tag or ""
            if tag in ("script", "style", "template", "noscript", "title"):
                pass
            elif tag in KEPT:
                element = Element(KEPT[tag], _label(child, KEPT[tag], url))
                _collect(child, element, url, pre=pre or tag == "pre")
                into.children.append(element)
            else:
                _collect(child, into, url, pre=pre)
        child = child.next


def _label(node: LexborNode, name: str, url: str) -> str:
    parts = [name]
    for key in ATTRIBUTES.get(name, ()):
        value = node.attributes.get(key)
        if value is None or (name, key, value) == ("ol", "start", "1") or (not value and key != "href"):
            continue
        if key in ("href", "src"):
            value = _absolute(url, value)
        parts.append(f"{key}={SPACE.sub(' ', value).strip()!r}")
    return " ".join(parts)


def _absolute(url: str, reference: str) -> str:
    try:
        return ada_url.join_url(url, reference)
    except ValueError:
        return reference


def _append_text(into: Element, text: str) -> None:
    if into.children and isinstance(into.children[-1], str):
        into.children[-1] += text
    else:
        into.children.append(text)


def _trim(element: Element) -> None:
    """Drop what a browser would not show: blanks next to a block's edge, empty elements, loose paragraphs."""
    children: list[Element | str] = []
    for child in element.children:
        if isinstance(child, str):
            children.append(child)
            continue
        if child.name != "pre":
            _trim(child)
        if child.name == "p" and element.name in ("li", "td", "th"):
            children += ["\n", *child.children, "\n"]
        elif child.name in ("em", "strong", "del", "p") and _is_blank(child):
            children.append(" ")
        else:
            children.append(child)
    element.children = [child for child in _without_edges(element, _merged(children)) if child != ""]


def _is_blank(element: Element) -> bool:
    return all(isinstance(child, str) and not child.strip(" ") for child in element.children)


def _merged(children: list[Element | str]) -> list[Element | str]:
    merged: list[Element | str] = []
    for child in children:
        if isinstance(child, str) and merged and isinstance(merged[-1], str):
            merged[-1] += child
        else:
            merged.append(child)
    return merged


def _without_edges(element: Element, children: list[Element | str]) -> Iterator[Element | str]:
    for index, child in enumerate(children):
        if not isinstance(child, str):
            yield child
            continue
        text = SPACE.sub(" ", child)
        before = children[index - 1] if index else None
        after = children[index + 1] if index + 1 < len(children) else None
        if _is_edge(before) and (index or element.name in EDGED):
            text = text.lstrip(EDGES)
        if _is_edge(after) and (index + 1 < len(children) or element.name in EDGED):
            text = text.rstrip(EDGES)
        yield text


def _is_edge(neighbour: Element | str | None) -> bool:
    return neighbour is None or (isinstance(neighbour, Element) and neighbour.name in BLOCKS | {"br"})


def _lines(element: Element, depth: int) -> Iterator[str]:
    for child in element.children:
        if isinstance(child, str):
            yield "  " * depth + repr(child)
        else:
            yield "  " * depth + child.label
            yield from _lines(child, depth + 1)
