"""Markdown converters beside each other: how fast they are (`python -m bench markdown`), and how faithful
(`python -m bench.markdown_quality`). Both print tables of docs/quality.md.

Fidelity is the share of the shared cases that mean the same after rendering (`tests/extract/fidelity.py`). CPU time is
that of converting alone, each converter in a process of its own.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.backend import Backend
from bench.measure import PEERS, Run, interleave, run_program
from bench.pages import write_static
from bench.programs.convert import CONVERTERS
from bench.report import Check, print_table, told
from tests.extract.cases import DOCUMENTATION
from tests.extract.fidelity import lost_text
from tests.extract.suites import URL, is_right, score, suite

SUITES = ("turndown", "markdownify", "commonmark_spec")
#: Those that make Markdown.
WRITERS = ("builtin", "markdownify on our blocks", "markdownify alone", "html-to-markdown")
_PEER = "html-to-markdown"


def cpu_times(_backend: Backend, rounds: int, pages: int) -> list[Check]:
    """CPU time per page of every converter and of what it is made of."""
    html = _pages(pages)
    with tempfile.TemporaryDirectory() as folder:
        runs = interleave(
            {name: _candidate(name, html, Path(folder)) for name in CONVERTERS},
            rounds,
        )
    times = {name: statistics.median(_milliseconds(run) for run in of_one) for name, of_one in runs.items()}
    print_table(
        ["converter", "CPU ms/page", "least-most", "x lexbor"],
        [
            [
                name,
                f"{times[name]:.2f}",
                f"{min(map(_milliseconds, of_one)):.2f}-{max(map(_milliseconds, of_one)):.2f}",
                f"{times[name] / times['lexbor alone']:.1f}",
            ]
            for name, of_one in runs.items()
        ],
    )
    default = times["builtin"]
    return [
        told(
            "CPU per page of the default converter, x markdownify alone", default / times["markdownify alone"]
        ),
        told("CPU per page of the default converter, x html-to-markdown", default / times[_PEER]),
    ]


def main() -> None:
    """Print the scores of all suites, and which cases the default converter does not get right."""
    suites = {name: suite(name) for name in SUITES}
    cases = [case for of_one in suites.values() for case in of_one]
    html = [case.html for case in cases]
    rows: list[list[str]] = []
    for name in WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            made = dict(zip(html, _converted(name, html, Path(folder)), strict=True))
        scores = [f"{score(of_one, made.__getitem__):.1%}" for of_one in suites.values()]
        lost = sum(lost_text(case.html, made[case.html]) != "" for case in cases)
        rows.append([name, *scores, str(lost)])
        if name == "builtin":
            wrong = [case.name for case in cases if not is_right(case, made.__getitem__)]
    counted = [f"{name} ({len(of_one)})" for name, of_one in suites.items()]
    print_table(["converter", *counted, "cases with lost text"], rows)
    print("Not equal: " + ", ".join(wrong))


def _pages(count: int) -> list[str]:
    """Real documentation (Debian's git-doc) where it is installed, else the generated pages of the other benchmarks."""
    found = sorted(DOCUMENTATION.glob("*.html"))
    if found:
        step = max(len(found) // count, 1)
        html = [path.read_text() for path in found[::step][:count]]
    else:
        with tempfile.TemporaryDirectory() as folder:
            write_static(Path(folder), count)
            html = [path.read_text() for path in sorted(Path(folder).rglob("*.html"))]
    kind = "pages of git-doc" if found else "generated pages"
    print(f"{len(html)} {kind}, {sum(map(len, html)) / len(html) / 1000:.0f} kB on average")
    return html


def _candidate(name: str, html: Sequence[str], folder: Path) -> Callable[[], Run]:
    pages = folder / "pages.json"
    pages.write_text(json.dumps(html))
    arguments = {"converter": name, "pages": str(pages), "url": URL, "into": str(folder / "made.json")}
    python = PEERS if name == _PEER else Path(sys.executable)
    return lambda: run_program(python, "convert", arguments)


def _converted(name: str, html: Sequence[str], folder: Path) -> list[str]:
    _candidate(name, html, folder)()
    made: list[str] = json.loads((folder / "made.json").read_text())
    return made


def _milliseconds(run: Run) -> float:
    return run.seconds / run.pages * 1000


if __name__ == "__main__":
    main()
