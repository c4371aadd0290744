"""Where an image is, in a page that may load it late."""

from __future__ import annotations

from selectolax.lexbor import LexborNode

from crawler.extract.attributes import Attributes

#: Where pages keep the address of an image until it comes into view; `src` holds a placeholder then.
_LATE = ("data-src", "data-original", "data-lazy-src")
_LATE_SETS = ("data-srcset", "data-lazy-srcset", "srcset")


def address_of(node: LexborNode, attributes: Attributes) -> str:
    """The address of an `img` as written; empty if the page has none but the image's own bytes."""
    late = next((value for name in _LATE if (value := attributes.get(name))), "")
    if late and not late.startswith("data:"):
        return late
    source = attributes.get("src") or ""
    if source and not source.startswith("data:"):
        return source
    if found := _first_of_sets(attributes):
        return found
    parent = node.parent
    sibling = parent.child if parent is not None and parent.tag == "picture" else None
    while sibling is not None:
        if sibling.tag == "source" and (found := _first_of_sets(sibling.attributes)):
            return found
        sibling = sibling.next
    return ""


def _first_of_sets(attributes: Attributes) -> str:
    """The first candidate of a `srcset` (HTML Standard 4.8.4.2.1)."""
    for name in _LATE_SETS:
        candidate, *_ = (attributes.get(name) or "").split(maxsplit=1) or [""]
        if candidate and not candidate.startswith("data:"):
            return candidate.rstrip(",")
    return ""
