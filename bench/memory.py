"""Memory of a rendering worker over many pages."""

from __future__ import annotations

from functools import partial
from statistics import mean

from bench.backend import Backend
from bench.origin import serve
from bench.pages import write_scripted
from bench.report import MIB, Check, at_most, print_table
from bench.throughput import crawl_rendered

_PARTS = 5


def rendering(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """Mean memory of the tree in the last fifth of the time against the first. The pages are alike, so a fifth of
    the time is a fifth of the pages."""
    del rounds
    with serve(partial(write_scripted, count=pages)) as origin:
        crawled = crawl_rendered(backend, origin)
    size = max(1, len(crawled.memory) // _PARTS)
    means = [mean(crawled.memory[part * size : (part + 1) * size]) / MIB for part in range(_PARTS)]
    print_table(
        ["pages", "pages/s", "peak MiB", *(f"fifth {part + 1}, MiB" for part in range(_PARTS))],
        [
            [
                str(crawled.run.pages),
                f"{crawled.run.rate:.1f}",
                f"{crawled.run.peak_bytes / MIB:.0f}",
                *(f"{value:.0f}" for value in means),
            ]
        ],
    )
    return [at_most(f"rendering {pages} pages, memory last fifth / first", means[-1] / means[0], 1.1)]
