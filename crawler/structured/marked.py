"""Items that attributes of elements spell out: microdata (HTML Standard, 5) and RDFa Lite 1.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.structured.addresses import MAX_ADDRESS_CHARS, resolve_address
from crawler.structured.data import Item
from crawler.structured.json_ld import MAX_DEPTH, MAX_TEXT_CHARS, local_name
from crawler.structured.texts import text_of
from crawler.urls import resolve

MAX_ITEMS = 200
MAX_PROPERTIES = 500
_MAX_ANCESTORS = 200

#: Where an element keeps its value, if not in its text (HTML Standard, 5.2.4; RDFa 1.1 in HTML).
_VALUE_ATTRIBUTES = {"meta": "content", "data": "value", "meter": "value", "time": "datetime"}
_URL_ATTRIBUTES = {
    "a": "href", "area": "href", "link": "href", "object": "data",
    "audio": "src", "embed": "src", "iframe": "src", "img": "src", "source": "src", "track": "src", "video": "src",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notation:
    """The attributes of one notation."""

    scope: str
    type: str
    property: str


MICRODATA = Notation(scope="itemscope", type="itemtype", property="itemprop")
RDFA = Notation(scope="typeof", type="typeof", property="property")


def read_marked(parser: LexborHTMLParser, notation: Notation, base_url: str) -> tuple[Item, ...]:
    """The top-level items of one notation; those that are values of others are inside them."""
    items, owners = _scopes(parser, notation)
    if not items:
        return ()
    parents: dict[int, int] = {}
    for node in parser.css(f"[{notation.property}]")[:MAX_PROPERTIES]:
        owner = _owner(node, items, owners)
        if owner is None:
            continue
        value: Any = ""
        if node.mem_id in items:
            # By way of itemref an item may be within itself.
            if node.mem_id not in (above := _chain(owner, parents)) and len(above) < MAX_DEPTH:
                parents[node.mem_id] = owner
                value = items[node.mem_id]
        elif notation.scope not in node.attributes:
            value = _value(node, notation, base_url)
        if value != "":
            for name in (node.attributes.get(notation.property) or "").split():
                items[owner].setdefault(local_name(name), []).append(value)
    return tuple(item for key, item in items.items() if key not in parents and item.keys() - {"@type"})


def _scopes(parser: LexborHTMLParser, notation: Notation) -> tuple[dict[int, dict[str, Any]], dict[str, int]]:
    """The items, still empty, by node; and by element id the item that refers to it."""
    items: dict[int, dict[str, Any]] = {}
    owners: dict[str, int] = {}
    for node in parser.css(f"[{notation.scope}]")[:MAX_ITEMS]:
        attributes = node.attributes
        kinds = (attributes.get(notation.type) or "").split()
        items[node.mem_id] = {"@type": [local_name(kind) for kind in kinds]} if kinds else {}
        for element_id in (attributes.get("itemref") or "").split():
            owners.setdefault(element_id, node.mem_id)
    return items, owners


def _owner(node: LexborNode, items: dict[int, dict[str, Any]], owners: dict[str, int]) -> int | None:
    """The item that a property belongs to: that of the nearest ancestor which is one, or which one refers to."""
    current: LexborNode | None = node
    for _ in range(_MAX_ANCESTORS):
        if current is None:
            break
        if current.mem_id in items and current.mem_id != node.mem_id:
            return current.mem_id
        element_id = current.attributes.get("id") if owners else None
        if element_id in owners:
            return owners[element_id]
        current = current.parent
    return None


def _chain(owner: int, parents: dict[int, int]) -> list[int]:
    chain = [owner]
    while chain[-1] in parents:
        chain.append(parents[chain[-1]])
    return chain


def _value(node: LexborNode, notation: Notation, base_url: str) -> str:
    attributes = node.attributes
    tag = node.tag or ""
    if tag in _URL_ATTRIBUTES:
        written = attributes.get(_URL_ATTRIBUTES[tag]) or ""
        return resolve(base_url, written, max_chars=MAX_ADDRESS_CHARS) or "" if written else ""
    explicit = attributes.get("content") or attributes.get(_VALUE_ATTRIBUTES.get(tag, "content"))
    if not explicit:
        return text_of(node, MAX_TEXT_CHARS)
    name = attributes.get(notation.property) or ""
    return resolve_address(name, explicit.strip(), base_url)[:MAX_TEXT_CHARS]
