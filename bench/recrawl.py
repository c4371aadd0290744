"""A site that has not changed, crawled for the first time and once more: bytes, browser time, pages per second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import service
from bench.backend import Backend
from bench.origin import Origin, serve
from bench.pages import SCRIPTED_START, STATIC_START, write_scripted, write_static
from bench.report import Check, at_most, print_table
from crawler.model import Kind

_LIMIT = 100_000
#: Rendering takes ten times as long.
_RENDERED_SHARE = 10


@dataclass(frozen=True, slots=True)
class _Cost:
    pages: int
    seconds: float
    bytes: int
    requests: int
    browser_seconds: float


def recrawls(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """`pages` plain pages and a tenth as many rendered ones, first and again with `incremental`."""
    del rounds
    checks: list[Check] = []
    rows = []
    for name, render, count, start, write in (
        ("plain", False, pages, STATIC_START, write_static),
        ("rendered", True, max(10, pages // _RENDERED_SHARE), SCRIPTED_START, write_scripted),
    ):
        first, again = _measure(backend, partial(write, count=count), start, render=render)
        rows += [_row(f"{name}, first", first), _row(f"{name}, again", again)]
        checks.append(at_most(f"{name}: bytes of a recrawl, x first", again.bytes / first.bytes, 0.05))
        if render:
            spared = again.browser_seconds / first.browser_seconds
            checks.append(at_most(f"{name}: browser time of a recrawl, x first", spared, 0.05))
    print_table(["crawl", "pages", "pages/s", "requests", "bytes sent", "browser seconds"], rows)
    return checks


def _measure(
    backend: Backend, write: Callable[[Path], None], start: str, *, render: bool
) -> tuple[_Cost, _Cost]:
    with serve(write, is_logged=True) as origin:
        body = {
            "url": origin.url(start),
            "limit": _LIMIT,
            "source": "links",
            "formats": ["html", "markdown"],
            "render": render,
            "incremental": True,
        }
        return _crawl(backend, origin, body), _crawl(backend, origin, body, after=body)


def _crawl(
    backend: Backend, origin: Origin, body: Mapping[str, object], *, after: Mapping[str, object] | None = None
) -> _Cost:
    crawled = service.crawl(
        backend,
        [body],
        kind=Kind.RENDER if body["render"] else Kind.STATIC,
        processes=1 if body["render"] else 2,
        settings={"default_delay": 0.0, "allow_unsandboxed": True},
        warm_up=after,
    )
    (view,) = crawled.views
    assert view.ended_at is not None
    hits = [hit for hit in origin.hits() if view.created_at <= hit.at * 1000 <= view.ended_at]
    return _Cost(
        pages=view.completed,
        seconds=crawled.run.seconds,
        bytes=sum(hit.size for hit in hits),
        requests=len(hits),
        browser_seconds=view.browser_seconds,
    )


def _row(name: str, cost: _Cost) -> list[str]:
    return [
        name,
        str(cost.pages),
        f"{cost.pages / cost.seconds:.1f}",
        str(cost.requests),
        str(cost.bytes),
        f"{cost.browser_seconds:.1f}",
    ]
