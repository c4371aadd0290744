"""docs/security-cases.md names a test for every case that exists, and a defence without which one of them fails."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
TABLE = ROOT / "docs" / "security-cases.md"
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


def named_by_case() -> dict[str, list[tuple[str, str]]]:
    """The first table: file and function of each test, by case."""
    rows = re.findall(r"^\| ([A-F][0-9]+) \| (.*?) \|", TABLE.read_text(), re.MULTILINE)
    return {case: re.findall(r"`([^`:]+)::(\w+)`", tests) for case, tests in rows}


def test_every_case_has_a_test_that_exists() -> None:
    found = named_by_case()
    assert found.keys() == CASES
    for case, tests in found.items():
        assert tests, case
        for file, function in tests:
            assert function in functions(TESTS / file), f"{case}: {file}::{function}"


def test_every_case_has_a_defence_without_which_one_of_its_tests_fails() -> None:
    rows = re.findall(r"^\| .+ \| (`.+`) \| ([A-F0-9, ]+) \| (.+) \|$", TABLE.read_text(), re.MULTILINE)
    known, proven = named_by_case(), set()
    for files, cases, fails in rows:
        for file in re.findall(r"`([^`]+)`", files):
            assert (ROOT / file).is_file(), file
        failed = set(re.findall(r"`(test_\w+)", fails))
        for case in cases.split(", "):
            assert failed & {function for _, function in known[case]}, f"{case}: {fails}"
            proven.add(case)
    assert proven == CASES
