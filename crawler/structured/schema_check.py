"""Hold a value against a schema that `crawler.structured.schema` has read, in bounded steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import referencing
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from pydantic import JsonValue

from crawler.structured.schema import Fault, compile_pattern

#: Keywords applied in one validation. Without it `allOf` with references to the same place costs 2 to the depth.
MAX_STEPS = 20_000
MAX_FAULTS = 20


class _TooManySteps(Exception):
    """The validation was given up."""


def faults(document: Mapping[str, Any], value: JsonValue) -> Sequence[Fault]:
    """What is wrong with `value`, at most `MAX_FAULTS`; nothing: it is what the schema asks for."""
    if not isinstance(value, dict):
        return (Fault((), "is not an object"),)
    errors = _bounded(Draft202012Validator, value)(document, registry=referencing.Registry())
    try:
        return tuple(
            Fault(tuple(error.absolute_path), error.message[:300])
            for error in islice(errors.iter_errors(value), MAX_FAULTS)
        )
    except _TooManySteps:
        return (Fault((), f"takes more than {MAX_STEPS} steps to check"),)
    except RecursionError:
        return (Fault((), "is checked against a schema that refers to itself without end"),)


def _bounded(base: type[Validator], value: JsonValue) -> type[Validator]:
    """A validator that gives up after `MAX_STEPS`, and whose patterns are RE2's."""
    left = MAX_STEPS
    # An error quotes the value that is wrong, which may be all of it, many times over.
    error_steps = 1 + len(json.dumps(value)) // 1_000

    def spend(steps: int) -> None:
        nonlocal left
        left -= steps
        if left < 0:
            raise _TooManySteps

    def counted(check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
        def check_and_count(
            validator: Validator, expected: Any, instance: Any, schema: Any
        ) -> Iterator[ValidationError]:
            spend(1)
            for error in check(validator, expected, instance, schema) or ():
                spend(error_steps)
                yield error

        return check_and_count

    checks = {**base.VALIDATORS, "pattern": _check_pattern}
    bounded: type[Validator] = validators.extend(  # type: ignore[no-untyped-call]
        base, {keyword: counted(check) for keyword, check in checks.items()}
    )
    return bounded


def _check_pattern(
    _validator: Validator, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compile_pattern(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")
