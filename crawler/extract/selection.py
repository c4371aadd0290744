"""Which elements of a page are shown: what a selector names, or the main content, without what is excluded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.extract.main_content import find_main_content
from crawler.extract.view import View

#: What surrounds the content, when the page says so itself.
_MAIN = "main, [role=main]"
_SURROUNDINGS = (
    "nav, aside, footer, "
    "[role=navigation], [role=complementary], [role=contentinfo], [role=search], [role=banner]"
)
#: A `main` with less text is an empty shell, or only a part.
_LEAST_MAIN_CHARS = 140


@dataclass(frozen=True, slots=True)
class Selection:
    """Elements to show one after the other, and ids of elements inside them to leave out."""

    roots: tuple[LexborNode, ...]
    dropped: frozenset[int]
    #: Whoever reads the roots must hold the tree that they are in.
    tree: LexborHTMLParser


def select(parser: LexborHTMLParser, view: View) -> Selection:
    """What `view` shows of the page that `parser` has read."""
    if view.content == "main":
        return _select_main(parser, view)
    dropped = _ids(parser, view.excluded)
    roots = _outermost(parser.css(view.selector)) if view.selector else _body(parser)
    return Selection(roots, dropped, parser)


def _select_main(parser: LexborHTMLParser, view: View) -> Selection:
    """The element that the page calls its main one, or its only article; else the one that has most of its text."""
    dropped = _ids(parser, (*view.excluded, _SURROUNDINGS))
    for selector in (_MAIN, "article"):
        found = _outermost(parser.css(selector))
        if len(found) == 1 and len(found[0].text().strip()) >= _LEAST_MAIN_CHARS:
            return Selection(found, dropped, parser)
    dropped |= _ids(parser, ["body > header"])
    return Selection(find_main_content(parser, dropped), dropped, parser)


def _body(parser: LexborHTMLParser) -> tuple[LexborNode, ...]:
    return () if parser.body is None else (parser.body,)


def _ids(parser: LexborHTMLParser, selectors: Iterable[str]) -> frozenset[int]:
    return frozenset(node.mem_id for selector in selectors for node in parser.css(selector))


def _outermost(nodes: Sequence[LexborNode]) -> tuple[LexborNode, ...]:
    """Without those that lie in another one: their text is shown with it."""
    ids = {node.mem_id for node in nodes}
    return tuple(node for node in nodes if not _lies_in(node, ids))


def _lies_in(node: LexborNode, ids: Set[int]) -> bool:
    parent = node.parent
    while parent is not None:
        if parent.mem_id in ids:
            return True
        parent = parent.parent
    return False
