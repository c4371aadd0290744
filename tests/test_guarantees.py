"""docs/guarantees.md has a row for every fault, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_security_cases import functions

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "guarantees.md"


def test_every_fault_has_a_row() -> None:
    rows = re.findall(r"^\| ((?:X[0-9]+(?:, )?)+)", TABLE.read_text(), re.MULTILINE)
    assert {fault for row in rows for fault in row.split(", ")} >= {f"X{number}" for number in range(1, 49)}


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE.read_text())
    assert len(named) > 40
    for file, name in named:
        assert any(function.startswith(name) for function in functions(TESTS / file)), f"{file}::{name}"
