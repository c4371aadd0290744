"""Fifty polite crawls of fifty hosts at once on one worker process: does each keep its pace?"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from bench import service
from bench.backend import Backend
from bench.origin import Hit, serve
from bench.pages import STATIC_START, write_static
from bench.report import MIB, Check, at_least, at_most, print_table
from crawler.model import Kind

_HOSTS = 50
_DELAY_SECONDS = 0.5
#: The request leaves a moment after its turn was given, now sooner and now later, and so it is seen.
_JITTER_SECONDS = 0.05


def paces(backend: Backend, rounds: int, pages: int) -> list[Check]:
    """`pages` pages of each host. The pace counts from the acceptance of a crawl to its end."""
    del rounds
    # Each at an address of its own, as sites are: an address has turns too.
    names = {f"host{number:02d}.bench.test": f"127.0.0.{number + 1}" for number in range(_HOSTS)}
    settings = {
        "default_delay": _DELAY_SECONDS,
        "egress_hosts": ",".join(f"{name}={address}" for name, address in names.items()),
    }
    write = partial(write_static, count=pages)
    with serve(write, is_logged=True, addresses=tuple(names.values())) as origin:
        bodies = [
            {"url": origin.url(STATIC_START, name), "limit": 1000, "source": "links", "render": False}
            for name in names
        ]
        crawled = service.crawl(backend, bodies, kind=Kind.STATIC, processes=1, settings=settings)
        hits = origin.hits()
    shares = []
    for name, view in zip(names, crawled.views, strict=True):
        requests = sum(hit.host == name for hit in hits)
        assert view.ended_at is not None
        seconds = (view.ended_at - view.created_at) / 1000
        shares.append((requests - 1) * _DELAY_SECONDS / seconds)
    gap = least_gap(hits)
    print_table(
        ["crawls", "requests", "seconds", "pace, worst", "pace, median", "least gap s", "CPU s", "peak MiB"],
        [
            [
                str(len(names)),
                str(len(hits)),
                f"{crawled.run.seconds:.1f}",
                f"{min(shares):.1%}",
                f"{sorted(shares)[len(shares) // 2]:.1%}",
                f"{gap:.3f}",
                f"{crawled.run.cpu_seconds:.1f}",
                f"{crawled.run.peak_bytes / MIB:.0f}",
            ]
        ],
    )
    return [
        at_least("50 polite crawls, pace of the slowest", min(shares), 0.9),
        at_least("50 polite crawls, least gap, seconds", gap, _DELAY_SECONDS - _JITTER_SECONDS),
        at_most("50 polite crawls, memory of the worker", crawled.run.peak_bytes / MIB, 400, " MiB"),
    ]


def least_gap(hits: list[Hit]) -> float:
    """The shortest time between two requests to the same host, seconds."""
    by_host: dict[str, list[float]] = {}
    for hit in hits:
        by_host.setdefault(hit.host, []).append(hit.at)
    gaps = [later - earlier for times in by_host.values() for earlier, later in pairwise(sorted(times))]
    return min(gaps)
