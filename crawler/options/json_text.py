"""JSON as strictly as RFC 8259 and I-JSON (RFC 7493) want it: what two parsers could read differently is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from crawler.errors import InvalidRequest

#: Deeper nesting means nothing to us, and would meet the recursion limit of whatever handles it next.
MAX_DEPTH = 64
#: Longer numbers cost quadratic time to convert and fit no field.
_MAX_DIGITS = 25


def parse_json(text: bytes) -> object:
    """Read one JSON document in UTF-8.

    Raises InvalidRequest for bad syntax, duplicate keys, NaN, Infinity, numbers beyond a double, lone surrogates,
    NUL characters and nesting deeper than `MAX_DEPTH`.
    """
    try:
        value: object = json.loads(
            text.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_int=_read_int,
            parse_float=_read_float,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body is not UTF-8 text.") from error
    except json.JSONDecodeError as error:
        message = f"The body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise InvalidRequest(message) from error
    except RecursionError as error:
        raise _too_deep() from error
    check_tree(value)
    return value


def check_tree(value: object) -> None:
    """Hold a tree of JSON values, however it came, to the rules that its syntax cannot show.

    Raises InvalidRequest for nesting deeper than `MAX_DEPTH`, non-finite numbers, lone surrogates and NUL.
    """
    waiting = [(value, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(node, str):
            _check_text(node)
        elif isinstance(node, float) and not math.isfinite(node):
            raise InvalidRequest("The body contains a number that is not finite.")
        else:
            waiting.extend((child, depth + 1) for child in _children(node))


def _children(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        yield from node.keys()
        yield from node.values()
    elif isinstance(node, list | tuple):
        yield from node


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise InvalidRequest("The body contains a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("The body contains half of a surrogate pair, which is no character.") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        message = f"The body contains the key {json.dumps(repeated[:100])} twice in one object."
        raise InvalidRequest(message)
    return found


def _read_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise InvalidRequest("The body contains a number that is too large.")
    return int(digits)


def _read_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidRequest("The body contains a number that is too large.")
    return number


def _refuse_constant(name: str) -> object:
    message = f"The body contains {name}, which JSON does not know."
    raise InvalidRequest(message)


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
