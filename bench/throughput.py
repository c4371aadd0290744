"""Pages per second of one unpaced crawl: ourselves, Scrapy, and loops that do nothing but the unavoidable."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench import service
from bench.backend import Backend
from bench.measure import PEERS, Run, interleave, median_rate, run_program
from bench.origin import Origin, serve
from bench.pages import (
    PICTURED_START,
    SCRIPTED_START,
    STATIC_START,
    write_pictured,
    write_scripted,
    write_static,
)
from bench.report import Check, at_least, print_runs, told
from crawler.fetch.chromium import find_chromium
from crawler.model import Kind
from crawler.settings import Settings

_OURS = Path(sys.executable)
#: Pages in flight, for every candidate. Ours are in flight until they are committed: 32 per process.
_STATIC_CONCURRENCY = 64
_RENDER_CONCURRENCY = 4
PROCESSES = 2
#: High enough that it never binds: a crawl at its limit need not look at links any more.
_LIMIT = 100_000


def markdown(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """Plain pages to HTML and Markdown: by markdownify everywhere, and by our own converter, the default."""
    with serve(partial(write_static, count=pages)) as origin:
        runs = _compare(
            {
                "crawl (markdownify)": crawl_static(backend, origin, ["html", "markdown"]),
                "crawl (default)": crawl_static(backend, origin, ["html", "markdown"], converter="builtin"),
                "Scrapy + markdownify": _scrapy(origin, markdown=True),
                "raw loop + markdownify": _raw_static(origin, processes=PROCESSES),
            },
            rounds,
            pages,
        )
    ours = median_rate(runs["crawl (markdownify)"])
    default = median_rate(runs["crawl (default)"])
    return [
        at_least(
            "HTML + Markdown by default, x Scrapy", default / median_rate(runs["Scrapy + markdownify"]), 2.0
        ),
        at_least("HTML + Markdown, x Scrapy", ours / median_rate(runs["Scrapy + markdownify"]), 2.0),
        at_least("HTML + Markdown, x raw loop", ours / median_rate(runs["raw loop + markdownify"]), 0.75),
    ]


def html(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """Plain pages to HTML."""
    with serve(partial(write_static, count=pages)) as origin:
        runs = _compare(
            {
                "crawl": crawl_static(backend, origin, ["html"]),
                "Scrapy": _scrapy(origin, markdown=False),
                "raw loop": _raw_static(origin, processes=0),
            },
            rounds,
            pages,
        )
    return [at_least("HTML, x Scrapy", median_rate(runs["crawl"]) / median_rate(runs["Scrapy"]), 2.5)]


def rendered(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """Pages that need JavaScript, to HTML and Markdown; the loop keeps neither."""
    chromium = find_chromium(Settings.load())
    if chromium is None:
        raise RuntimeError("no Chromium found: run `make setup`, or name one with CRAWL_CHROMIUM")
    with serve(partial(write_scripted, count=pages)) as origin:
        raw = {
            "url": origin.url(SCRIPTED_START),
            "concurrency": _RENDER_CONCURRENCY,
            "chromium": str(chromium),
        }
        runs = _compare(
            {
                "crawl": lambda: crawl_rendered(backend, origin).run,
                "raw loop, our proxy": lambda: run_program(_OURS, "raw_render", raw | {"has_proxy": True}),
                "raw loop": lambda: run_program(_OURS, "raw_render", raw | {"has_proxy": False}),
            },
            rounds,
            pages,
        )
    ours = median_rate(runs["crawl"])
    return [
        at_least("rendered, x raw Playwright loop", ours / median_rate(runs["raw loop, our proxy"]), 0.8),
        told("rendered, x raw Playwright loop without our proxy", ours / median_rate(runs["raw loop"])),
    ]


def blocked(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """Pages with images, rendered with and without them: refusing a request must cost less than answering it."""
    refused = {"rejectResourceTypes": ["image", "media", "font"]}
    with serve(partial(write_pictured, count=pages)) as origin:
        runs = _compare(
            {
                "all loaded": lambda: crawl_rendered(backend, origin, PICTURED_START).run,
                "no images": lambda: crawl_rendered(backend, origin, PICTURED_START, refused).run,
            },
            rounds,
            pages,
        )
    ratio = median_rate(runs["no images"]) / median_rate(runs["all loaded"])
    return [at_least("rendered without images, x with them", ratio, 1.0)]


def crawl_rendered(
    backend: Backend,
    origin: Origin,
    start: str = SCRIPTED_START,
    options: Mapping[str, object] | None = None,
) -> service.Crawled:
    """One rendered crawl of everything that `start` leads to, by one worker process."""
    body = {
        "url": origin.url(start),
        "formats": ["html", "markdown"],
        "limit": _LIMIT,
        "source": "links",
        **(options or {}),
    }
    # The pages are our own. Root cannot have Chromium's sandbox, nor does the raw loop use it.
    settings = {"default_delay": 0, "render_slots": _RENDER_CONCURRENCY, "allow_unsandboxed": True}
    return service.crawl(
        backend,
        [body],
        kind=Kind.RENDER,
        processes=1,
        settings=settings,
        # The raw loop's browser is there before it begins, so ours is too.
        warm_up=body | {"limit": 1},
    )


def crawl_static(
    backend: Backend,
    origin: Origin,
    formats: list[str],
    *,
    converter: str = "markdownify",
    limit: int = _LIMIT,
) -> Callable[[], Run]:
    """What crawls the plain pages of `origin` with fresh workers."""
    body = {
        "url": origin.url(STATIC_START), "formats": formats, "limit": limit, "source": "links", "render": False,
    }  # fmt: skip
    settings = {"default_delay": 0, "host_concurrency": _STATIC_CONCURRENCY, "markdown": converter}

    def run() -> Run:
        crawled = service.crawl(
            backend,
            [body],
            kind=Kind.STATIC,
            processes=PROCESSES,
            settings=settings,
            # The raw loop's converters are there before it begins, so ours are too.
            warm_up=body | {"limit": _STATIC_CONCURRENCY},
        )
        return crawled.run

    return run


def _scrapy(origin: Origin, *, markdown: bool) -> Callable[[], Run]:
    def run() -> Run:
        with tempfile.TemporaryDirectory(prefix="crawl-bench-scrapy-") as folder:
            arguments = {
                "url": origin.url(STATIC_START),
                "concurrency": _STATIC_CONCURRENCY,
                "folder": folder,
                "markdown": markdown,
            }
            return run_program(PEERS, "scrapy_files", arguments)

    return run


def _raw_static(origin: Origin, *, processes: int) -> Callable[[], Run]:
    arguments = {
        "url": origin.url(STATIC_START),
        "concurrency": _STATIC_CONCURRENCY,
        "processes": processes,
    }
    return lambda: run_program(_OURS, "raw_static", arguments)


def _compare(candidates: Mapping[str, Callable[[], Run]], rounds: int, pages: int) -> dict[str, list[Run]]:
    """Measure and print. Raises RuntimeError when a candidate did not get every page: it would look fast."""
    runs = interleave(candidates, rounds)
    for name, of_one in runs.items():
        if any(run.pages < pages for run in of_one):
            message = f"{name} did not crawl all of the {pages} pages"
            raise RuntimeError(message)
    print_runs(runs)
    return runs
