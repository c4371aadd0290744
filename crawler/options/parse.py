"""From a request body to `CrawlOptions`, or to one sentence that says what to change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from crawler.errors import InvalidRequest
from crawler.options.json_text import check_tree, parse_json
from crawler.options.request import CrawlOptions, StaticOptions
from crawler.options.wire import unrecognized

#: How far back `modifiedSince` may lie (contract A.4).
_MAX_MODIFIED_SINCE = timedelta(days=365)
#: Problems named in one message.
_MAX_PROBLEMS = 5
#: The validator names the Python type of a value; its sender thinks in JSON.
_PYDANTIC_SENTENCE = re.compile(
    r"(?:Input|String|Tuple|Dictionary|Value) (should .*?)(?: after validation.*|, not .*)?$", re.DOTALL
)


def parse_options(body: bytes | Mapping[str, object], *, now: datetime) -> CrawlOptions:
    """Check the body of POST `/crawl`, JSON text or what JSON text stands for.

    `now` (aware) is what `modifiedSince` is compared with. Raises InvalidRequest, whose message names the fields.
    """
    if isinstance(body, bytes):
        tree = parse_json(body)
    else:
        check_tree(body)
        tree = body
    if not isinstance(tree, Mapping):
        raise InvalidRequest('The body must be a JSON object such as {"url": "https://example.com/"}.')
    _refuse_unknown_keys(tree)
    _refuse_nulls(tree)
    try:
        # As JSON text, because strict JSON types are the contract: a list is fine for a tuple, "10" is no number.
        options = CrawlOptions.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from error
    _check_modified_since(options, now)
    _check_formats(options)
    if options.recheck_within is not None and not options.incremental:
        raise InvalidRequest("recheckWithin is only for incremental crawls; set incremental to true.")
    return options


def _check_modified_since(options: CrawlOptions, now: datetime) -> None:
    if options.modified_since is None:
        return
    if options.modified_since > now.timestamp():
        raise InvalidRequest("modifiedSince lies in the future; it must be Unix time in seconds.")
    if options.modified_since < (now - _MAX_MODIFIED_SINCE).timestamp():
        raise InvalidRequest("modifiedSince lies more than a year back.")


def _check_formats(options: CrawlOptions) -> None:
    if "json" in options.formats and options.json_options is None:
        raise InvalidRequest("formats contains json, which needs jsonOptions.")


def _refuse_unknown_keys(body: Mapping[str, object]) -> None:
    """The body is one of two closed objects, told apart by `render` (contract A.4, refused combinations 1 and 2)."""
    variant = StaticOptions if body.get("render") is False else CrawlOptions
    known = {field.alias for field in variant.model_fields.values()}
    unknown = [str(key) for key in body if key not in known]
    if unknown:
        only_rendered = any(field.alias in unknown for field in CrawlOptions.model_fields.values())
        hint = " (accepted only when render is true)" if only_rendered else ""
        raise InvalidRequest(unrecognized(unknown) + hint)


def _refuse_nulls(body: Mapping[str, object]) -> None:
    """`null` is no value of any field but `json_schema`; leaving a field out is how to get its default."""
    waiting: list[tuple[str, object]] = [("", body)]
    while waiting:
        path, node = waiting.pop()
        if node is None:
            message = f"{path} must not be null; leave it out."
            raise InvalidRequest(message)
        if isinstance(node, Mapping):
            waiting.extend(
                (f"{path}.{key}" if path else str(key), child)
                for key, child in node.items()
                if key != "json_schema"
            )
        elif isinstance(node, list | tuple):
            waiting.extend((f"{path}[{position}]", child) for position, child in enumerate(node))


def explain(error: ValidationError) -> str:
    """One message for all problems, each with its field as the caller wrote it."""
    problems = error.errors(include_url=False, include_input=False)
    unknown: dict[str, list[str]] = {}
    sentences: list[str] = []
    for problem in problems:
        if problem["type"] == "extra_forbidden":
            unknown.setdefault(_path(problem["loc"][:-1]), []).append(str(problem["loc"][-1]))
        else:
            sentences.append(_sentence(problem))
    sentences += [_about(path, unrecognized(keys)) for path, keys in unknown.items()]
    return "; ".join(sentences[:_MAX_PROBLEMS])


def _about(path: str, text: str) -> str:
    """What is wrong with the object as a whole has no field."""
    return f"{path}: {text}" if path else text


def _sentence(problem: ErrorDetails) -> str:
    path = _path(problem["loc"])
    if problem["type"] == "missing":
        return f"{path} is required"
    if problem["type"] == "string_pattern_mismatch":
        return f"{path} has characters or a form that is not allowed there"
    if match := _PYDANTIC_SENTENCE.match(problem["msg"]):
        return f"{path} {match[1]}"
    return _about(path, problem["msg"].removeprefix("Value error, "))


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
