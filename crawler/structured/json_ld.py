"""JSON-LD 1.1 as pages use it: the nodes of all `application/ld+json` scripts, without remote contexts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from crawler.structured.addresses import resolve_address
from crawler.structured.data import Item

MAX_SCRIPT_CHARS = 500_000
MAX_NODES = 200
MAX_DEPTH = 8
MAX_VALUES = 100
MAX_TOTAL_VALUES = 5_000
MAX_TEXT_CHARS = 2_000

_COMMENT = re.compile(r"^\s*(?:<!--|//<!\[CDATA\[)|(?:-->|//\]\]>)\s*$")


def read_json_ld(scripts: Iterable[str], base_url: str) -> tuple[Item, ...]:
    """The top-level nodes of all scripts, in order; a node that only names another's `@id` is replaced by it.

    Relative addresses are resolved against `base_url`. Scripts that are not JSON are passed over.
    """
    found: list[dict[str, Any]] = []
    chars = 0
    for script in scripts:
        chars += len(script)
        if chars > MAX_SCRIPT_CHARS:
            break
        try:
            document = json.loads(_COMMENT.sub("", script), strict=False)
        except (ValueError, RecursionError):
            continue
        found.extend(_top_nodes(document, MAX_DEPTH))
    found = found[:MAX_NODES]
    reader = _Reader(
        {node["@id"]: node for node in found if isinstance(node.get("@id"), str) and len(node) > 1},
        base_url,
    )
    return tuple(item for node in found if (item := reader.item(node, MAX_DEPTH)))


def local_name(name: str) -> str:
    """The last part of a term or an IRI: `Product` of `https://schema.org/Product` and `schema:Product`."""
    return re.split(r"[/#:]", name.rstrip("/#:"))[-1]


def _top_nodes(document: Any, levels: int) -> Iterator[dict[str, Any]]:
    if isinstance(document, list) and levels:
        for entry in document:
            yield from _top_nodes(entry, levels - 1)
    elif isinstance(document, dict):
        if "@graph" in document and levels:
            yield from _top_nodes(document["@graph"], levels - 1)
        elif document:
            yield document


class _Reader:
    """Turns nodes into items, no more than `MAX_TOTAL_VALUES` values in all: references multiply."""

    def __init__(self, by_id: dict[str, dict[str, Any]], base_url: str) -> None:
        self._by_id = by_id
        self._base_url = base_url
        self._left = MAX_TOTAL_VALUES

    def item(self, node: dict[str, Any], levels: int) -> dict[str, Any]:
        item: dict[str, Any] = {}
        for name, value in list(node.items())[:MAX_VALUES]:
            if name == "@type":
                item["@type"] = [
                    local_name(kind) for kind in _listed(value)[:MAX_VALUES] if isinstance(kind, str)
                ]
            elif not name.startswith("@") and (values := self._values(name, value, levels - 1)):
                item[local_name(name)] = values
        return item

    def _values(self, name: str, value: Any, levels: int) -> list[Any]:
        found: list[Any] = []
        for entry in _listed(value)[:MAX_VALUES]:
            self._left -= 1
            if self._left < 0:
                break
            match entry:
                case {"@value": str() | int() | float() as literal}:
                    found.append(self._plain(name, literal))
                case {"@list": inner} | {"@set": inner} if levels > 0:
                    found.extend(self._values(name, inner, levels - 1))
                case {"@id": str(other), **rest} if levels > 0 and not rest:
                    if other in self._by_id:
                        # Fewer levels each time, so that nodes which name each other come to an end.
                        found.append(self.item(self._by_id[other], levels // 2))
                case dict() if levels > 0 and (item := self.item(entry, levels)):
                    found.append(item)
                case str() | int() | float():
                    found.append(self._plain(name, entry))
        return found

    def _plain(self, name: str, value: str | float) -> str | float:
        if not isinstance(value, str):
            return value
        return resolve_address(name, value.strip(), self._base_url)[:MAX_TEXT_CHARS]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
