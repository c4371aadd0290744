"""The main content of a page that does not say where it is: the smallest container that holds most of its text.

Text of links does not count, so menus and lists of teasers weigh nothing. The measure is that nothing of the content is
lost rather than that all of the rest is gone: docs/quality.md compares it with readability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set

from selectolax.lexbor import LexborHTMLParser, LexborNode

#: How much of the page's words an element must have to stand for the page.
SHARE = 0.75
#: A page with fewer words has no content that could be told from the rest.
LEAST_WORDS = 50

#: Their words are no content: links and what surrounds it, controls, and what is not shown.
_WEIGHTLESS = frozenset(
    ["a", "button", "select", "script", "style", "noscript", "template", "nav", "aside", "footer"]
)
#: What may stand for the page, besides custom elements and tables that only lay it out: nothing that is a part of a
#: text, and nothing whose form would be lost with it.
_CONTAINERS = frozenset(["article", "center", "div", "form", "main", "section", "td"])
#: Any of them in a cell says that the table lays out the page, and so do more paragraphs than these: the measure of
#: `crawler.extract.grid`, taken without reading the table.
_LAYOUT = frozenset(["h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "pre", "blockquote"])
_MOST_PARAGRAPHS = 2


def find_main_content(parser: LexborHTMLParser, dropped: Set[int]) -> tuple[LexborNode, ...]:
    """The element, behind the page's heading if that is elsewhere; `dropped` are ids of elements that do not count.

    The body where there is too little text to tell; nothing for a page without a body.
    """
    body = parser.body
    if body is None:
        return ()
    words = _count(body, dropped)
    total = words[body.mem_id]
    if total < LEAST_WORDS:
        return (body,)
    content = body
    while (part := _heaviest_part(content, words)) and words[part.mem_id] >= SHARE * total:
        content = part
    return (*_heading(parser, content, words), content)


def _count(body: LexborNode, dropped: Set[int]) -> Mapping[int, int]:
    """Words in each element, links not counted; elements that do not count are not there."""
    words: Counter[int] = Counter()
    stack = [body]
    node = body.child
    while stack:
        if node is None:
            element = stack.pop()
            if stack:
                words[stack[-1].mem_id] += words[element.mem_id]
                node = element.next
        elif node.is_text_node:
            words[stack[-1].mem_id] += len((node.text_content or "").split())
            node = node.next
        elif node.is_element_node and node.tag not in _WEIGHTLESS and node.mem_id not in dropped:
            words[node.mem_id] += 0
            stack.append(node)
            node = node.child
        else:
            node = node.next
    return words


def _heaviest_part(element: LexborNode, words: Mapping[int, int]) -> LexborNode | None:
    """The child with most words, if it may stand for the page; of a table that is one of its cells."""
    parts = _cells(element) if element.tag == "table" else element.iter()
    part = max(parts, key=lambda part: words.get(part.mem_id, 0), default=None)
    return part if part is not None and part.mem_id in words and _is_container(part) else None


def _is_container(element: LexborNode) -> bool:
    tag = element.tag or ""
    return tag in _CONTAINERS or "-" in tag or (tag == "table" and _is_layout(element))


def _is_layout(table: LexborNode) -> bool:
    if table.attributes.get("role") in ("presentation", "none"):
        return True
    cells = list(_cells(table))
    if any(part.tag == "thead" for part in table.iter()) or any(cell.tag == "th" for cell in cells):
        return False
    return len(cells) == 1 or any(map(_holds_blocks, cells))


def _cells(table: LexborNode) -> Iterable[LexborNode]:
    """The table's own cells, not those of tables in it."""
    for part in table.iter():
        if part.tag in ("tbody", "thead", "tfoot"):
            for row in part.iter():
                yield from row.iter()


def _holds_blocks(cell: LexborNode) -> bool:
    """Whether a cell holds more than a cell of data does. Goes no further than to the first table in it."""
    paragraphs = 0
    for node in cell.traverse():
        paragraphs += node.tag == "p"
        if node.tag in _LAYOUT or paragraphs > _MOST_PARAGRAPHS:
            return True
    return False


def _heading(
    parser: LexborHTMLParser, content: LexborNode, words: Mapping[int, int]
) -> tuple[LexborNode, ...]:
    """The only `h1` of the page, if it stands outside of its content."""
    found = [heading for heading in parser.css("h1") if heading.mem_id in words]
    if len(found) != 1:
        return ()
    node: LexborNode | None = found[0]
    while node is not None:
        if node.mem_id == content.mem_id:
            return ()
        node = node.parent
    return (found[0],)
