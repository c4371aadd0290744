"""Tables and verdicts, as Markdown: what is printed can be kept as it is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.measure import Run, median_rate

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Check:
    """One target: what was measured, what is asked for, whether it is met. Without a target: None."""

    what: str
    measured: str
    target: str
    is_met: bool | None


def at_least(what: str, ratio: float, target: float) -> Check:
    """A ratio that must not be smaller."""
    return Check(what, f"{ratio:.2f}", f">= {target:g}", ratio >= target)


def at_most(what: str, value: float, target: float, unit: str = "") -> Check:
    """A value that must not be larger."""
    return Check(what, f"{value:.2f}{unit}", f"<= {target:g}{unit}", value <= target)


def told(what: str, ratio: float) -> Check:
    """A ratio without a target."""
    return Check(what, f"{ratio:.2f}", "", None)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    print()
    for row in [header, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    print(flush=True)


def print_runs(runs: Mapping[str, Sequence[Run]]) -> None:
    """Candidates beside each other: medians of the rounds, and how far apart these were."""
    print_table(
        ["candidate", "pages", "pages/s", "least-most", "CPU ms/page", "peak MiB"],
        [
            [
                name,
                str(of_one[0].pages),
                f"{median_rate(of_one):.1f}",
                f"{min(run.rate for run in of_one):.1f}-{max(run.rate for run in of_one):.1f}",
                f"{statistics.median(run.cpu_ms for run in of_one):.1f}",
                f"{statistics.median(run.peak_bytes for run in of_one) / MIB:.0f}",
            ]
            for name, of_one in runs.items()
        ],
    )


def print_checks(checks: Sequence[Check]) -> None:
    """Targets and verdicts."""
    verdicts = {True: "met", False: "MISSED", None: ""}
    rows = [[check.what, check.measured, check.target, verdicts[check.is_met]] for check in checks]
    print_table(["target", "measured", "asked for", "verdict"], rows)
