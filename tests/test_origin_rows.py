"""docs/origins.md names a test for every behaviour of a difficult origin, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_security_cases import functions

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "origins.md"
LAST = {"A": 18, "B": 22, "C": 23, "D": 18, "E": 11, "F": 22}
ROWS = {"B1b", *(f"{part}{number}" for part, last in LAST.items() for number in range(1, last + 1))}


def test_every_row_has_a_test_that_exists() -> None:
    rows = re.findall(r"^\| ([A-F][0-9]+b?) \| .*? \| .*? \| (.*?) \|$", TABLE.read_text(), re.MULTILINE)
    assert {row for row, _ in rows} == ROWS
    for row, tests in rows:
        named = re.findall(r"`([^`:]+)::(\w+)`", tests)
        assert named, row
        for file, function in named:
            assert function in functions(TESTS / file), f"{row}: {file}::{function}"
