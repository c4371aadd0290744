"""A value that a page gives -> the type that a schema asks for, or None where it is not one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import JsonValue

#: Longer texts are prose, in which a number means nothing.
_MAX_NUMBER_CHARS = 60
#: Blanks that part thousands: the ordinary one, those that do not break, the thin one.
_BLANKS = " \u00a0\u202f\u2009"
#: A blank belongs to a number before exactly three digits only, a comma, point or apostrophe before a digit only: in
#: `4.5, 120 ratings` and `3 5` there are two numbers, and the first is taken.
_NUMBER = re.compile(rf"[-+−]?(?:\d{{1,3}}(?:[{_BLANKS}]\d{{3}}(?!\d))+(?:[.,]\d+)?|\d+(?:[.,']\d+)*)")
#: What an item stands for where a plain value is asked for: a text, an address, a number or a truth.
_TEXT_KEYS = ("name", "headline", "value", "url", "contentUrl")
_ADDRESS_KEYS = ("url", "contentUrl")
_VALUE_KEYS = ("value", "name", "headline")
_TRUE = frozenset({"true", "yes", "1", "instock", "onlineonly", "limitedavailability"})
_FALSE = frozenset({"false", "no", "0", "outofstock", "soldout", "discontinued"})


def normal(name: str) -> str:
    """Letters and digits only, lower case: how `date_published` and `datePublished` are the same."""
    return "".join(character for character in name.lower() if character.isalnum())


def coerce(value: Any, node: Mapping[str, Any], *, is_address: bool = False) -> JsonValue:
    """One value of a page as what the schema `node` allows. An item stands for its name, its value where a number or a
    truth is asked for, its address where the property `is_address`."""
    text_keys = _ADDRESS_KEYS if is_address else _TEXT_KEYS
    if "enum" in node or "const" in node:
        plain = _plain(value, text_keys)
        return None if plain is None else _choose(plain, node.get("enum", [node.get("const")]))
    kinds = node.get("type", ["string"])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        plain = _plain(value, text_keys if kind == "string" else _VALUE_KEYS)
        found = None if plain is None else _as(kind, plain)
        if found is not None:
            return found
    return None


def _plain(value: Any, keys: Sequence[str]) -> Any:
    """What an item stands for, by the first of the keys that it has; that may be an item in turn."""
    while isinstance(value, Mapping):
        value = next((value[key][0] for key in keys if value.get(key)), None)
    return value


def _as(kind: str, value: str | float | bool) -> str | float | bool | None:
    match kind:
        case "string":
            return value if isinstance(value, str) else _written(value)
        case "boolean":
            word = value if isinstance(value, bool) else normal(re.split(r"[/#]", str(value))[-1])
            return (
                True if word in _TRUE or word is True else False if word in _FALSE or word is False else None
            )
        case "number" | "integer":
            number = _number(value)
            if number is None or (kind == "integer" and number != int(number)):
                return None
            return int(number) if number == int(number) else number
        case _:
            return None


def _written(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: str | float | bool) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if abs(value) < 1e15 else None
    found = _NUMBER.search(value) if len(value) <= _MAX_NUMBER_CHARS else None
    if found is None:
        return None
    digits = re.sub(rf"['{_BLANKS}]", "", found[0]).replace("−", "-")
    return float(_with_point(digits))


def _with_point(digits: str) -> str:
    """The one decimal point that was meant: `1,299.00`, `1.299,00`, `1,299`, `1,50,000` and `9,5` are all written."""
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma >= 0 and point >= 0:
        thousands = "," if comma < point else "."
    elif comma >= 0:
        is_whole = digits.count(",") > 1 or re.fullmatch(r"[-+]?\d{1,3},\d{3}", digits)
        thousands = "," if is_whole else "."
    else:
        thousands = "." if digits.count(".") > 1 else ","
    plain = digits.replace(thousands, "").replace(",", ".")
    whole, _, fraction = plain.rpartition(".")
    return f"{whole.replace('.', '')}.{fraction}" if whole else plain


def _choose(value: JsonValue, choices: list[JsonValue]) -> JsonValue:
    """The choice that is written the same, or the same but for case and punctuation: `InStock` is `in_stock`."""
    if value in choices:
        return value
    word = normal(re.split(r"[/#]", str(value))[-1])
    return next(
        (choice for choice in choices if isinstance(choice, str) and word and normal(choice) == word), None
    )
