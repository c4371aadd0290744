"""The main content of a page that does not say where it is: the smallest element that holds most of its text.

Text of links does not count, so menus and lists of teasers weigh nothing. The measure is that nothing of the content is
lost rather than that all of the rest is gone: docs/quality.md compares it with readability.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set

from selectolax.lexbor import LexborHTMLParser, LexborNode

#: How much of the page's words an element must have to stand for the page.
SHARE = 0.75
#: A page with fewer words has no content that could be told from the rest.
LEAST_WORDS = 50

#: Their words are no content: links and what surrounds it, controls, and what is not shown.
_WEIGHTLESS = frozenset(
    ["a", "button", "select", "script", "style", "noscript", "template", "nav", "aside", "footer"]
)


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
    root: LexborNode | None = body
    content = body
    while root is not None:
        content = root
        root = max(content.iter(), key=lambda child: words.get(child.mem_id, 0), default=None)
        if root is not None and words.get(root.mem_id, 0) < SHARE * total:
            root = None
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
