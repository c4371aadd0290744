"""`python -m bench [NAME…]`: measure, print tables, and say for each target whether it is met."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from bench import expiry, fencing, frontier, markdown_quality, memory, paging, polite, recrawl, throughput
from bench.backend import Backend, open_backend
from bench.measure import cores
from bench.report import Check, print_checks


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark: what it measures, its default size, and how it is run (servers, rounds, pages)."""

    measures: str
    pages: int
    run: Callable[[Backend, int, int], list[Check]]


BENCHES: Mapping[str, Bench] = {
    "static": Bench("plain pages to HTML and Markdown", 2_000, throughput.markdown),
    "markdown": Bench("CPU time of HTML to Markdown, by converter", 52, markdown_quality.cpu_times),
    "html": Bench("plain pages to HTML", 2_000, throughput.html),
    "render": Bench("pages that need JavaScript", 1_000, throughput.rendered),
    "render-blocking": Bench("pages with images, and without them", 100, throughput.blocked),
    "recrawl": Bench("a site that has not changed, crawled once more", 1_000, recrawl.recrawls),
    "polite": Bench("50 polite crawls on one worker process", 60, polite.paces),
    "frontier": Bench("lease and finish, 10 thousand and 1 million URLs queued", 1_500, frontier.sizes),
    "fencing": Bench("what fencing and heartbeats cost", 12_000, fencing.costs),
    "paging": Bench("reading a crawl of 100 thousand records", 100_000, paging.latencies),
    "expiry": Bench("claims while expired records and their texts are deleted", 100_000, expiry.claims),
    "render-memory": Bench("memory of rendering", 1_000, memory.rendering),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHES)), metavar=f"[{'|'.join(BENCHES)}]…")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Of each comparison.")
@click.option("--pages", type=click.IntRange(10), help="Size, instead of each benchmark's own.")
def main(names: tuple[str, ...], rounds: int, pages: int | None) -> None:
    """Measure this machine's limits, the peers and us, side by side. Without a name: everything."""
    for name in list(os.environ):
        # What is measured is the product as it is, not as somebody has set it up.
        if name.startswith("CRAWL_") and name not in {"CRAWL_CHROMIUM", "CRAWL_ALLOW_UNSANDBOXED"}:
            del os.environ[name]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.platform()}, {cores()} cores, "
          f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    checks: list[Check] = []
    with open_backend() as backend:
        for name in names or BENCHES:
            bench = BENCHES[name]
            print(f"\n## {name}: {bench.measures}\n", flush=True)
            found = bench.run(backend, rounds, pages or bench.pages)
            print_checks(found)
            checks += found
    if len(names) != 1:
        print("## All targets")
        print_checks(checks)


if __name__ == "__main__":
    main()
