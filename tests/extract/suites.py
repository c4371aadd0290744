"""The shared suites of HTML and Markdown, and how much of each a converter gets right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.extract.cases import load
from tests.extract.fidelity import rendered, same

URL = "http://base.test/dir/page"
#: Options of markdownify that ask for a meaning other than that of the page.
OTHER_MEANING = frozenset([
    "strip", "convert", "sub_symbol", "sup_symbol", "default_title", "table_infer_header", "keep_inline_images_in",
    "escape_asterisks", "escape_underscores",
])  # fmt: skip
RAW_HTML = frozenset(["HTML blocks", "Raw HTML"])

Convert = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Case:
    html: str
    #: HTML that means what the Markdown has to mean.
    wanted: str
    name: str


def suite(name: str) -> list[Case]:
    """The cases of one suite; what cannot be met by intent is left out."""
    return list(_cases(name))


def score(cases: list[Case], convert: Convert) -> float:
    """The share of cases that mean the same after rendering."""
    return sum(is_right(case, convert) for case in cases) / len(cases)


def is_right(case: Case, convert: Convert) -> bool:
    return same(rendered(convert(case.html)), case.wanted, URL)


def _cases(name: str) -> Iterator[Case]:
    for number, case in enumerate(load(f"html2md/{name}.json")["cases"]):
        if case.get("section") in RAW_HTML or _asks_otherwise(case.get("options")):
            continue
        wanted = case["html"] if name == "commonmark_spec" else rendered(case["markdown"] or "")
        yield Case(
            case["html"], wanted, f"{name}-{case.get('name') or case.get('test') or case.get('n')}-{number}"
        )


def _asks_otherwise(options: dict[str, Any] | None) -> bool:
    return not OTHER_MEANING.isdisjoint(options or {})
