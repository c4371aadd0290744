"""docs/security-cases.md names a test for every case, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS.parent / "docs" / "security-cases.md"
CASES = {
    *(f"A{number}" for number in range(1, 64)),
    *(f"B{number}" for number in range(1, 5)),
    *(f"C{number}" for number in range(12, 26)),
    "C49",
    "C50",
    *(f"D{number}" for number in range(1, 21)),
    *(f"F{number}" for number in range(1, 19)),
}


@cache
def functions(file: Path) -> set[str]:
    """The test functions of a file."""
    tree = ast.parse(file.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_case_has_a_test_that_exists() -> None:
    rows = re.findall(r"^\| ([A-F][0-9]+) \| (.*?) \|", TABLE.read_text(), re.MULTILINE)
    assert {case for case, _ in rows} == CASES
    for case, tests in rows:
        named = re.findall(r"`([^`:]+)::(\w+)`", tests)
        assert named, case
        for file, function in named:
            assert function in functions(TESTS / file), f"{case}: {file}::{function}"
