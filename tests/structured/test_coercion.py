"""Values of a page as the types that a schema asks for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.structured.coercion import coerce
from crawler.structured.schema import Schema, read_schema


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,299.00", 1299), ("1.299,00 €", 1299), ("1,299", 1299), ("9,5", 9.5), ("$19", 19), ("-3", -3),
        ("1.234.567", 1234567), ("12'000.50", 12000.5), ("4.5 out of 5", 4.5), ("none", None), ("1" * 70, None),
        ("1,234,567", 1234567), ("Rs. 1,50,000", 150000), ("Rs. 1,50,000.50", 150000.5), ("19.-", 19), ("19,", 19),
        ("4.5, 120 ratings", 4.5), ("4. 500", 4), ("3 5", 3), ("1 2990", 1), ("2024 365", 2024), ("4.5 120", 4.5),
        ("1 299,50", 1299.5), ("12 345 678 km", 12345678), ("1\u202f299,00 €", 1299), ("1\u00a0299,00 €", 1299),
        ("1\u2009299.00", 1299), ("−1\u00a0299", -1299), ("1 299,500", 1299.5), ("1 299 5", 1299),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, number: float | None) -> None:
    assert coerce(text, {"type": "number"}) == number


@pytest.mark.parametrize(
    ("item", "kind", "value"),
    [
        ({"name": ["Level 3"], "value": [5.2]}, "number", 5.2),
        ({"name": ["Level 3"], "value": [5.2]}, "string", "Level 3"),
        ({"name": ["Level 3"], "value": [5.2]}, ["null", "number", "string"], 5.2),
        ({"name": ["Level 3"]}, "number", 3),
        ({"value": ["5.2"]}, "string", "5.2"),
        ({"value": ["50,000"]}, "integer", 50000),
        ({"value": [{"value": [50000]}]}, "number", 50000),
        ({"value": [{"minValue": [40000]}]}, "number", None),
        ({"name": ["Pool"], "value": [True]}, "boolean", True),
        ({"url": ["https://a.test/42"]}, "number", None),
        ({"url": ["https://a.test/42"]}, "string", "https://a.test/42"),
    ],
)
def test_what_an_item_stands_for(item: dict[str, Any], kind: Any, value: Any) -> None:
    assert coerce(item, {"type": kind}) == value


@given(st.text(max_size=50), st.sampled_from(["string", "number", "integer", "boolean", "null"]))
def test_a_coerced_value_has_the_type(text: str, kind: str) -> None:
    schema = read_schema({"properties": {"a": kind}})
    assert isinstance(schema, Schema)
    found = coerce(text, {"type": kind})
    assert found is None or schema.faults({"a": found}) == ()
