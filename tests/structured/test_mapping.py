"""Structured data of a page mapped onto what a schema names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from crawler.structured.data import StructuredData
from crawler.structured.mapping import fill_schema
from crawler.structured.page import read_structured_data
from crawler.structured.schema import Schema, read_schema

SHOP = """<html lang="en"><title>Lamp | Shop</title><meta property="og:site_name" content="The Shop">
<meta name="keywords" content="light, home"><script type="application/ld+json">
[{"@type": "Organization", "name": "The Shop Inc", "url": "http://site.test/"},
 {"@type": "Product", "name": "Lamp", "image": {"@type": "ImageObject", "url": "http://site.test/a.png"},
  "description": "It shines.", "brand": {"@type": "Brand", "name": "Lumo"},
  "aggregateRating": {"ratingValue": "4.5", "reviewCount": "12"},
  "offers": {"@type": "Offer", "price": "1.299,00", "priceCurrency": "EUR", "availability": "https://schema.org/InStock"},
  "review": [{"author": {"name": "Ann"}, "reviewRating": {"ratingValue": 5}}, {"author": "Bob"}]}]</script>
<table><tr><td>Weight<td>3 kg</table>
<table><tr><th>Model<th>Watts<tr><td>A1<td>40<tr><td>A2<td>60</table>"""


def fill(properties: dict[str, Any], html: str = SHOP, **more: Any) -> Any:
    """What the page gives for a schema with these properties and these other keywords."""
    schema = read_schema({"properties": properties, **more})
    assert isinstance(schema, Schema), schema
    return fill_schema(schema, read_structured_data(LexborHTMLParser(html), "http://site.test/"))


def demand(properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has all of these, as OpenAI's strict mode wants it written."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def json_ld(item: dict[str, Any]) -> str:
    return f'<script type="application/ld+json">{json.dumps(item)}</script>'


def test_names_are_found_in_items_inside_items_meta_and_tables() -> None:
    found = fill(
        {
            "title": "string", "description": "string", "image": "string", "brand": "string", "price": "number",
            "currency": "string", "in_stock": "boolean", "rating": "number", "review_count": "integer",
            "site_name": "string", "weight": "string", "language": "string", "colour": "string",
        }
    )  # fmt: skip
    assert found == {
        "title": "Lamp", "description": "It shines.", "image": "http://site.test/a.png", "brand": "Lumo",
        "price": 1299, "currency": "EUR", "in_stock": True, "rating": 4.5, "review_count": 12,
        "site_name": "The Shop", "weight": "3 kg", "language": "en",
    }  # fmt: skip


def test_names_with_the_type_or_the_property_in_front() -> None:
    assert fill({"productName": "string", "brandName": "string", "offer_price": "number"}) == {
        "productName": "Lamp", "brandName": "Lumo", "offer_price": 1299,
    }  # fmt: skip


def test_objects_lists_and_rows() -> None:
    found = fill(
        {
            "product": {"type": "object", "properties": {"name": "string"}},
            "organization": {"$ref": "#/definitions/named"},
            "reviews": {"type": "array", "items": {"properties": {"author": "string", "rating": "number"}}},
            "keywords": {"type": "array", "items": "string"},
            "models": {"type": "array", "items": {"properties": {"model": "string", "watts": "integer"}}},
            "nothing": {"type": "array", "items": "string"},
        },
        definitions={"named": {"type": "object", "properties": {"name": {"type": ["string", "null"]}}}},
    )
    assert found == {
        "product": {"name": "Lamp"},
        "organization": {"name": "The Shop Inc"},
        "keywords": ["light", "home"],
        "models": [{"model": "A1", "watts": 40}, {"model": "A2", "watts": 60}],
        "reviews": [{"author": "Ann", "rating": 5}, {"author": "Bob"}],
    }


def test_a_value_that_the_schema_forbids_is_left_out() -> None:
    assert fill({"price": {"type": "number", "maximum": 5}, "name": "string"}) == {"name": "Lamp"}


def test_what_is_required_and_not_there_is_a_fault() -> None:
    (fault,) = fill({"name": "string", "isbn": "string"}, required=["isbn"])
    assert "isbn" in fault.message


@pytest.mark.parametrize(
    "text_or_null",
    [
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/text"}]},
        {"enum": ["white", None]},
    ],
)
def test_what_is_required_and_not_there_is_null_where_that_is_allowed(text_or_null: dict[str, Any]) -> None:
    html = json_ld(
        {
            "@type": "Product",
            "name": "Shoe",
            "offers": {"price": 19},
            "review": [{"author": "Ann"}, {"reviewRating": 3}, {"author": "Bob"}],
        }
    )
    review = demand({"author": "string", "colour": text_or_null})
    wanted = demand(
        {
            "name": "string",
            "colour": text_or_null,
            "offers": demand({"price": "number", "colour": text_or_null}),
            "reviews": {"type": "array", "items": review},
            "sizes": {"type": ["array", "null"], "items": "string"},
        }
    )
    found = fill(html=html, **wanted, **{"$defs": {"text": "string"}})
    assert found == {
        "name": "Shoe",
        "colour": None,
        "offers": {"price": 19, "colour": None},
        "reviews": [{"author": "Ann", "colour": None}, {"author": "Bob", "colour": None}],
        "sizes": None,
    }
    assert list(found) == list(wanted["properties"])


def test_an_object_of_nothing_but_nulls_is_no_answer() -> None:
    isbn = {"isbn": {"type": ["string", "null"]}}
    (fault,) = fill(**demand(isbn))
    assert fault.message == "'isbn' is a required property"
    price = {"price": {"type": "number", "maximum": 5}}
    (fault,) = fill(isbn | price, required=["isbn"])
    assert fault.message == "'isbn' is a required property"
    assert fill({"name": "string", "offers": demand(isbn)}) == {"name": "Lamp"}


@pytest.mark.parametrize(
    "node", [{"type": ["string", "null"], "enum": ["a"]}, {"description": "as printed"}, "string"]
)
def test_null_is_not_given_where_the_schema_does_not_name_it(node: Any) -> None:
    reviews = {"type": "array", "items": demand({"author": "string", "isbn": node})}
    assert fill({"name": "string", "reviews": reviews}) == {"name": "Lamp"}


def test_choices_are_met_whatever_their_spelling() -> None:
    assert fill({"availability": {"enum": ["in_stock", "out_of_stock"]}}) == {"availability": "in_stock"}


def test_without_structured_data_meta_data_is_taken() -> None:
    html = '<title>Plain</title><meta property="article:published_time" content="2026-01-02"><h1>Top</h1>'
    assert fill({"title": "string", "datePublished": "string", "h1": "string"}, html) == {
        "title": "Plain", "datePublished": "2026-01-02", "h1": "Top",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("image", "image"), ("images", "image"), ("productImage", "image"), ("thumbnail_url", "thumbnailUrl"),
        ("logo", "logo"), ("url", "url"), ("sameAs", "sameAs"),
    ],
)  # fmt: skip
def test_an_item_stands_for_its_address_where_one_is_asked_for(asked: str, said: str) -> None:
    picture = {"@type": "ImageObject", "name": "Shoe photo", "url": "https://a.test/i.jpg"}
    html = json_ld({"@type": "Product", "name": "Shoe", said: picture})
    assert fill({asked: "string"}, html) == {asked: "https://a.test/i.jpg"}
    assert fill({asked: {"type": "array", "items": "string"}}, html) == {asked: ["https://a.test/i.jpg"]}


def test_an_item_without_an_address_is_none() -> None:
    html = json_ld({"@type": "Product", "image": {"@type": "ImageObject", "name": "Shoe photo"}})
    assert fill({"image": "string"}, html) == {}
    html += '<meta property="og:image" content="https://a.test/i.jpg">'
    assert fill({"image": "string"}, html) == {"image": "https://a.test/i.jpg"}


def test_an_item_stands_for_its_value_where_a_number_is_asked_for() -> None:
    salary = {"@type": "MonetaryAmount", "value": {"@type": "QuantitativeValue", "value": 50000}}
    html = json_ld({"@type": "JobPosting", "baseSalary": salary, "weight": {"name": "light", "value": 5.2}})
    assert fill({"salary": "number", "weight": "number"}, html) == {"salary": 50000, "weight": 5.2}


def test_a_recursive_schema_ends() -> None:
    schema = read_schema({"properties": {"name": "string", "child": {"$ref": "#"}}})
    assert isinstance(schema, Schema)
    item: dict[str, list[Any]] = {"name": ["leaf"]}
    for _ in range(50):
        item = {"name": ["inner"], "child": [item]}
    assert isinstance(fill_schema(schema, StructuredData(items=(item,))), dict)
