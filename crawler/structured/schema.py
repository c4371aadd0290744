"""The JSON Schema of a request: read leniently, held to a dialect that is safe to apply, applied in bounded steps.

A schema comes from whoever may start a crawl. Of JSON Schema 2020-12 we keep what the table below lists; a keyword that
is unknown or has a value of the wrong type is dropped, because people write loose schemas and Cloudflare takes them
(contract D). What could be turned against us is refused: remote references, patterns that RE2 does not know, size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import re2
from pydantic import JsonValue

MAX_DEPTH = 16
#: The whole schema: every page's question contains it.
MAX_SCHEMA_CHARS = 32_000
#: Schemas within the schema.
MAX_SUBSCHEMAS = 500
MAX_PATTERN_CHARS = 500
_PATTERN_MEMORY_BYTES = 1 << 20

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

#: Keywords whose value is a schema, a list of schemas, or schemas by name. `patternProperties` is not among them: the
#: library's `additionalProperties` would search its patterns with a regular expression engine that backtracks.
_ONE = frozenset({"items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"})
_SOME = frozenset({"prefixItems", "allOf", "anyOf", "oneOf"})
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_COUNTS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
    | {"minContains", "maxContains"}
)
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_TEXTS = frozenset({"title", "description", "format", "$comment"})
_ANYTHING = frozenset({"const", "default"})


@dataclass(frozen=True, slots=True)
class BadSchema:
    """A schema that is not applied; the message says why."""

    message: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a value: where, and in words. An empty path is the value as a whole."""

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema for an object that is safe to apply. Made by `read_schema`."""

    document: Mapping[str, Any]

    def faults(self, value: JsonValue) -> Sequence[Fault]:
        """What is wrong with `value`, nothing: it is what was asked for."""
        # The validator's library is loaded by the first page that is held against a schema: most crawls have none.
        from crawler.structured.schema_check import faults  # noqa: PLC0415

        return faults(self.document, value)

    def resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The schema that a schema with `$ref` stands for; itself where there is none."""
        for _ in range(MAX_DEPTH):
            if "$ref" not in node:
                return node
            target = _at(self.document, node["$ref"])
            node = target if isinstance(target, dict) else {}
        return {}


def read_schema(written: Mapping[str, JsonValue]) -> Schema | BadSchema:
    """Read the `json_schema` of a request.

    Also understood: OpenAI's wrapper `{"name": …, "schema": {…}}`, a bare type name for a property's schema
    (`"price": "number"`), and any other text there as its description.
    """
    inner = written.get("schema")
    if isinstance(inner, dict) and not {"type", "properties", "$ref"} & written.keys():
        written = inner
    if len(json.dumps(written)) > MAX_SCHEMA_CHARS:
        return BadSchema(f"is longer than {MAX_SCHEMA_CHARS} characters")
    reader = _Reader()
    try:
        document = reader.read(dict(written), "#", 1)
    except _Refused as refused:
        return BadSchema(str(refused))
    assert isinstance(document, dict)
    lost = next((target for target in reader.references if target not in reader.places), None)
    if lost is not None:
        return BadSchema(f"has a $ref to {lost[:100]!r}, which is not a schema in it; only #/… is followed")
    kinds = document.get("type", "object")
    if kinds != "object" and "object" not in kinds:
        return BadSchema("must describe an object")
    return Schema(document | {"type": "object"})


class _Refused(Exception):
    """The schema must not be applied."""


class _Reader:
    def __init__(self) -> None:
        #: JSON pointers (RFC 6901) of all schemas that were read.
        self.places: set[str] = set()
        self.references: list[str] = []

    def read(self, node: JsonValue, place: str, depth: int) -> dict[str, Any] | bool:
        if len(self.places) >= MAX_SUBSCHEMAS:
            message = f"has more than {MAX_SUBSCHEMAS} schemas in it"
            raise _Refused(message)
        if depth > MAX_DEPTH:
            message = f"is nested deeper than {MAX_DEPTH} levels"
            raise _Refused(message)
        self.places.add(place)
        match node:
            case bool():
                return node
            case str():
                return {"type": node} if node in TYPES else {"description": node}
            case dict():
                return dict(self._keywords(node, place, depth + 1))
            case _:
                return {}

    def _keywords(self, node: dict[str, JsonValue], place: str, depth: int) -> Iterator[tuple[str, Any]]:
        for keyword, value in node.items():
            at = f"{place}/{keyword}"
            match value:
                case list() if keyword == "items":
                    # The form of drafts before 2020-12.
                    yield "prefixItems", self._list(value, f"{place}/prefixItems", depth)
                case dict() | bool() | str() if keyword in _ONE:
                    yield keyword, self.read(value, at, depth)
                case [*items] if keyword in _SOME and items:
                    yield keyword, self._list(items, at, depth)
                case dict() if keyword in _NAMED:
                    yield (
                        keyword,
                        {
                            name: self.read(item, f"{at}/{_escape(name)}", depth)
                            for name, item in value.items()
                        },
                    )
                case str() if keyword == "$ref":
                    self.references.append(unquote(value))
                    yield keyword, value
                case str() if keyword == "pattern":
                    if len(value) > MAX_PATTERN_CHARS or compile_pattern(value) is None:
                        message = f"has a pattern that is too long or not RE2: {value[:60]!r}"
                        raise _Refused(message)
                    yield keyword, value
                case _ if _is_plain(keyword, value):
                    yield keyword, value

    def _list(self, items: Sequence[JsonValue], place: str, depth: int) -> list[dict[str, Any] | bool]:
        return [self.read(item, f"{place}/{number}", depth) for number, item in enumerate(items)]


def _is_plain(keyword: str, value: JsonValue) -> bool:
    """Whether this is a keyword without schemas in it, with a value that fits."""
    match value:
        case _ if keyword in _ANYTHING:
            return True
        case bool():
            return keyword == "uniqueItems"
        case int() if keyword in _COUNTS:
            return value >= 0
        case int() | float() if keyword in _NUMBERS:
            return keyword != "multipleOf" or value > 0
        case str() if keyword == "type":
            return value in TYPES
        case str():
            return keyword in _TEXTS
        case [*items] if keyword == "type":
            return bool(items) and all(item in TYPES for item in items)
        case [*items] if keyword == "required":
            return all(isinstance(item, str) for item in items)
        case [*items] if keyword in {"enum", "examples"}:
            return bool(items)
        case _:
            return False


def compile_pattern(pattern: str) -> Any:
    """The compiled pattern, None when RE2 does not take it."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def _escape(name: str) -> str:
    """A name in a JSON pointer (RFC 6901 section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _at(document: Mapping[str, Any], reference: str) -> Any:
    node: Any = document
    for part in unquote(reference).split("/")[1:]:
        step = part.replace("~1", "/").replace("~0", "~")
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node
