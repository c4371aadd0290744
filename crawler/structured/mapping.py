"""Structured data -> an object of the shape a JSON Schema asks for, by the names of its properties.

A property takes its value from the item of the page that fits the schema best, then from other items, then from meta
data, then from labelled values. Names are compared without case and punctuation; the words that the vocabularies have
for the same thing are alike (`title`, `name`, `headline`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from crawler.structured.addresses import is_address
from crawler.structured.coercion import coerce, normal
from crawler.structured.data import Item, StructuredData
from crawler.structured.lookup import (
    GENERAL,
    LISTED_IN_TEXT,
    alike,
    by_fit,
    is_about_site,
    look_through,
    look_up,
    of_meta,
    types,
)
from crawler.structured.schema import Fault, Schema

MAX_DEPTH = 6
MAX_ROWS = 200


def fill_schema(schema: Schema, data: StructuredData) -> dict[str, JsonValue] | Sequence[Fault]:
    """What the page says of all that `schema` names. Values that the schema does not allow are left out; the faults
    are given where it cannot be satisfied so."""
    filler = _Filler(schema, data)
    filled = filler.fill()
    for name in {fault.path[0] for fault in schema.faults(filled) if fault.path}:
        filled.pop(str(name), None)
    filled = filler.with_nulls(schema.document, filled)
    return schema.faults(filled) or filled


class _Filler:
    def __init__(self, schema: Schema, data: StructuredData) -> None:
        self._schema = schema
        self._data = data

    def fill(self) -> dict[str, JsonValue]:
        return self._object(
            self._schema.document, by_fit(self._data.items, self._names()), MAX_DEPTH, is_page=True
        )

    def with_nulls(self, node: Mapping[str, Any], filled: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """An object with null for what the schema requires, allows to be null and is not there. Where nothing was
        found at all, nothing: nulls alone say nothing of a page."""
        if all(value is None for value in filled.values()):
            return {}
        required = {name for part in self._parts(node) for name in part.get("required", ())}
        return {
            name: filled.get(name)
            for name, inner in self._properties(node).items()
            if name in filled or (name in required and self._allows_null(inner))
        }

    def _names(self) -> list[str]:
        return [normal(name) for name in self._properties(self._schema.document)]

    def _parts(self, node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The schemas that hold at once: those of `allOf`, then the schema itself."""
        node = self._schema.resolve(node)
        return [
            *(self._schema.resolve(part) for part in node.get("allOf", ()) if isinstance(part, dict)),
            node,
        ]

    def _properties(self, node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """The properties that a schema names, in `allOf` as well."""
        found: dict[str, Mapping[str, Any]] = {}
        for part in self._parts(node):
            for name, inner in part.get("properties", {}).items():
                found[name] = self._schema.resolve(inner) if isinstance(inner, dict) else {}
        return found

    def _object(
        self, node: Mapping[str, Any], items: Sequence[Item], depth: int, *, is_page: bool
    ) -> dict[str, JsonValue]:
        filled: dict[str, JsonValue] = {}
        for name, inner in self._properties(node).items():
            value = self._value(normal(name), self._without_null(inner), items, depth - 1, is_page=is_page)
            if value is not None:
                filled[name] = value
        return self.with_nulls(node, filled)

    def _without_null(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """`T or null`, in either way to write it, as T: null is not looked for on a page."""
        return next((choice for choice in self._choices(node) if choice.get("type") != "null"), node)

    def _allows_null(self, node: Mapping[str, Any]) -> bool:
        """Whether a schema names null among what it allows. One that allows anything does not."""
        for choice in self._choices(node):
            kinds = choice.get("type") or ("null" if "enum" in choice else ())
            if "null" in kinds and None in choice.get("enum", [None]):
                return True
        return False

    def _choices(self, node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What `anyOf` or `oneOf` of a schema without a type offers; of any other, the schema itself."""
        offered = () if node.get("type") else node.get("anyOf") or node.get("oneOf") or ()
        return [self._schema.resolve(choice) for choice in offered if isinstance(choice, dict)] or [node]

    def _value(
        self, wanted: str, node: Mapping[str, Any], items: Sequence[Item], depth: int, *, is_page: bool
    ) -> JsonValue:
        if depth <= 0 or not wanted:
            return None
        kinds = node.get("type") or (
            "object" if "properties" in node else "array" if "items" in node else "string"
        )
        if "array" in kinds:
            return self._array(wanted, node, items, depth, is_page=is_page) or None
        if "object" in kinds:
            inside = [value for value in look_up(wanted, items) if isinstance(value, Mapping)]
            inside = inside or ([item for item in items if wanted in types(item)] if is_page else [])
            return self._object(node, inside, depth, is_page=False) or None
        for value in self._candidates(wanted, items, is_page=is_page):
            found = coerce(value, node, is_address=is_address(wanted))
            if found is not None and found != "":
                return found
        return None

    def _candidates(self, wanted: str, items: Sequence[Item], *, is_page: bool) -> Iterator[Any]:
        is_general = is_page and wanted in GENERAL
        subjects = [item for item in items if not is_about_site(item)] if is_general else items
        yield from look_up(wanted, subjects[:1])
        if is_page:
            if wanted not in GENERAL:
                yield from look_up(wanted, subjects[1:])
            yield from of_meta(wanted, self._data.named)
            yield from of_meta(wanted, self._data.pairs)

    def _array(
        self, wanted: str, node: Mapping[str, Any], items: Sequence[Item], depth: int, *, is_page: bool
    ) -> list[JsonValue]:
        inner = node.get("items")
        inner = self._without_null(self._schema.resolve(inner)) if isinstance(inner, dict) else {}
        found: list[JsonValue] = []
        if "properties" in inner or inner.get("type") == "object":
            for row in self._rows(wanted, inner, items, is_page=is_page):
                filled = self._object(inner, [row], depth, is_page=False)
                if filled and all(name in filled for name in inner.get("required", ())):
                    found.append(filled)
            return found[:MAX_ROWS]
        values = list(look_up(wanted, items)) or (
            list(self._candidates(wanted, items, is_page=is_page)) if is_page else []
        )
        if wanted in LISTED_IN_TEXT and len(values) == 1 and isinstance(values[0], str):
            values = values[0].split(",")
        for value in values:
            plain = value.strip() if isinstance(value, str) else value
            one = coerce(plain, inner, is_address=is_address(wanted))
            if one is not None and one != "" and one not in found:
                found.append(one)
        return found[:MAX_ROWS]

    def _rows(
        self, wanted: str, inner: Mapping[str, Any], items: Sequence[Item], *, is_page: bool
    ) -> Sequence[Item]:
        """The things of a list: values of a property, items of a type, entries of an `ItemList`, rows of a table."""
        named = [value for value in look_up(wanted, items) if isinstance(value, Mapping)]
        if named or not is_page:
            return named
        typed = [
            item
            for item in items
            if types(item) & {wanted, wanted.removesuffix("s"), wanted.removesuffix("es")}
        ]
        if typed:
            return typed
        listed = [
            look_through(entry)
            for item in items
            if "itemlist" in types(item)
            for entry in item.get("itemListElement", ())
            if isinstance(entry, Mapping)
        ]
        if listed:
            return listed
        names = [normal(name) for name in self._properties(inner)]
        for table in self._data.tables:
            columns = {normal(column) for row in table[:1] for column in row}
            if 2 * sum(any(word in columns for word in alike(name)) for name in names) >= max(len(names), 1):
                return [{column: [text] for column, text in row.items()} for row in table]
        return []
