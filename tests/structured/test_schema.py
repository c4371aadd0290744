"""Schemas of requests: loose ones are read, dangerous ones refused, all of them applied in bounded steps."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from crawler.structured import schema_check as module
from crawler.structured.schema import BadSchema, Fault, Schema, read_schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
KEYWORDS = st.sampled_from(
    ["type", "properties", "items", "allOf", "anyOf", "required", "enum", "minimum", "maxLength", "pattern", "$ref",
     "$defs", "not", "additionalProperties", "uniqueItems", "const", "description", "prefixItems"]
)  # fmt: skip
LOOSE = st.recursive(
    JSON | st.sampled_from(["object", "string", "#", "#/$defs/a", "^a+$"]),
    lambda inner: st.dictionaries(KEYWORDS, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=20,
)


def read(written: dict[str, JsonValue]) -> Schema:
    found = read_schema(written)
    assert isinstance(found, Schema), found
    return found


def nested(levels: int) -> dict[str, Any]:
    return {"properties": {"x": nested(levels - 1)}} if levels else {"type": "string"}


def test_the_loose_schema_of_cloudflares_documentation_is_understood() -> None:
    found = read(
        {"name": "product", "properties": {"name": "string", "price": "number", "note": "as printed"}}
    )
    assert found.document["properties"] == {
        "name": {"type": "string"},
        "price": {"type": "number"},
        "note": {"description": "as printed"},
    }
    assert found.faults({"name": "Lamp", "price": 3, "note": ["any"]}) == ()
    assert found.faults({"price": "3"}) == (Fault(("price",), "'3' is not of type 'number'"),)


def test_the_wrapper_of_openai_is_taken_off() -> None:
    inner: dict[str, JsonValue] = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert read({"name": "page", "strict": True, "schema": inner}) == read(inner)


def test_keywords_of_a_wrong_type_are_dropped() -> None:
    found = read(
        {"properties": {"a": {"type": "strng", "minimum": "x", "maxLength": -1, "enum": "b"}}, "required": 3}
    )
    assert found.document == {"type": "object", "properties": {"a": {}}}


def test_a_list_of_items_is_the_form_of_older_drafts() -> None:
    found = read({"properties": {"pair": {"items": [{"type": "string"}, {"type": "number"}]}}})
    assert found.faults({"pair": ["a", 1]}) == ()
    assert len(found.faults({"pair": [1, "a"]})) == 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"$ref": "http://127.0.0.3/schema"}, "only #/… is followed"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "only #/… is followed"),
        ({"properties": {"a": {"$ref": "#/properties/b"}}}, "which is not a schema"),
        ({"properties": {"a": {"enum": [{}], "$ref": "#/properties/a/enum/0"}}}, "which is not a schema"),
        ({"properties": {"a": {"pattern": r"(\w+)\1"}}}, "not RE2"),
        ({"properties": {"a": {"pattern": "a" * 501}}}, "too long"),
        ({"type": "array"}, "must describe an object"),
        (nested(20), "nested deeper"),
        ({"anyOf": [{}] * 501}, "more than 500"),
        ({"description": "x" * 32_001}, "longer than"),
    ],
)
def test_what_could_be_turned_against_us_is_refused(written: dict[str, JsonValue], said: str) -> None:
    found = read_schema(written)
    assert isinstance(found, BadSchema)
    assert said in found.message


def test_a_pattern_that_backtracks_elsewhere_is_linear_here() -> None:
    found = read({"properties": {"a": {"pattern": "^(a+)+$"}}})
    began = time.monotonic()
    assert len(found.faults({"a": "a" * 5_000 + "!"})) == 1
    assert time.monotonic() - began < 5


def test_references_that_multiply_are_given_up() -> None:
    levels: dict[str, JsonValue] = {
        str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}, {"$ref": f"#/$defs/{n + 1}"}]} for n in range(60)
    }
    bomb = read({"$ref": "#/$defs/0", "$defs": levels | {"60": {}}})
    assert bomb.faults({}) == (Fault((), f"takes more than {module.MAX_STEPS} steps to check"),)


def test_a_reference_to_itself_ends() -> None:
    (fault,) = read({"$ref": "#"}).faults({})
    assert "without end" in fault.message


def test_recursive_schemas_work() -> None:
    tree = read({"properties": {"name": "string", "children": {"type": "array", "items": {"$ref": "#"}}}})
    assert tree.faults({"name": "a", "children": [{"name": "b", "children": []}]}) == ()
    (fault,) = tree.faults({"name": "a", "children": [{"name": 3}]})
    assert fault.path == ("children", 0, "name")


def test_only_objects_are_answers() -> None:
    values: tuple[JsonValue, ...] = ([], "x", None, 3, True)
    for value in values:
        assert read({}).faults(value) == (Fault((), "is not an object"),)


@given(LOOSE, JSON)
def test_any_schema_is_read_or_refused_and_applied_without_an_exception(
    written: Any, value: JsonValue
) -> None:
    found = read_schema(written if isinstance(written, dict) else {"properties": {"a": written}})
    if isinstance(found, Schema):
        found.faults(value)
        found.faults({"a": value})
