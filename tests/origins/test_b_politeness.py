"""Difficult origins, part B: hosts that are busy, that fail, and that ask for distance. All crawls of a mode run at the
same time, each on a host of its own."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from crawler.model import CrawlStatus, CrawlView, Record, UrlStatus
from crawler.runtime import Runtime
from crawler.settings import Settings
from tests.engine.conftest import Engine, Engines
from tests.fetch.origins import PUBLIC, Origin, origin, page, redirect
from tests.origins.site import NONE, text

pytestmark = pytest.mark.slow

#: The longest wait that a host may ask for in this file, and what a busy one asks for.
CAP_SECONDS = 1.0
CRAWL_DELAY = 1.0
#: What a machine that is busy may shift the arrival of requests by; without any distance they are milliseconds apart.
SLACK = 0.25
TEN = "".join(f"<a href=/{number}>x</a>" for number in range(10))
FAR = "Wed, 01 Jan 2098 00:00:00 GMT"

#: By path and how often it has been asked for: the answer, or nothing and a reset.
Behaviour = Callable[[str, int], bytes]


def busy(retry_after: str, *, times: int = 99, status: str = "429 Slow down") -> Behaviour:
    """Answers so many requests for its page with "later"."""

    def answer(path: str, nth: int) -> bytes:
        if path == "/robots.txt":
            return NONE
        return (
            text("busy", f"Retry-After: {retry_after}", status=status)
            if nth <= times
            else text("<title>at last</title>")
        )

    return answer


def b14(path: str, nth: int) -> bytes:
    if path in ("/", "/robots.txt"):
        return NONE if path == "/robots.txt" else text(TEN)
    return text("<title>busy</title>", "Retry-After: 0", status="503 Busy")


def b20(path: str, nth: int) -> bytes:
    """Every second connection is reset; for one page all are."""
    if path in ("/", "/robots.txt"):
        return NONE if path == "/robots.txt" else text(f"{TEN}<a href=/never>x</a>")
    return b"" if path == "/never" or nth % 2 else text("<title>here</title>")


def robots(answer: bytes) -> Behaviour:
    """Pages that link to a forbidden one, and this for robots.txt."""
    pages = {
        "/robots.txt": answer,
        "/": text("<a href=/no>x</a>"),
        "/rules": page(b"User-agent: *\nDisallow: /no"),
    }
    return lambda path, nth: pages.get(path, text("<title>page</title>"))


def b19(path: str, nth: int) -> bytes:
    """Forbids everything once it has been asked for a page. Nobody asks again within a day."""
    if path == "/robots.txt":
        return page(b"User-agent: *\nAllow: /") if nth == 1 else page(b"User-agent: *\nDisallow: /")
    return text(f"<a href={path}x>x</a>")


HUGE = b"User-agent: *\nDisallow: /no\n" + b"# filler filler\n" * 40_000 + b"Disallow: /\n"
HOSTS: Mapping[str, Behaviour] = {
    "b12": busy("1", times=2),
    "b13-seconds": busy("86400"),
    "b13-date": busy(FAR),
    "b13-negative": busy("-5"),
    "b13-garbage": busy("soon"),
    "b14": b14,
    "b17": robots(page(f"User-agent: *\nCrawl-delay: {CRAWL_DELAY:g}\n".encode())),
    "b18-500": robots(page(b"", status="500 Oh")),
    "b18-404": robots(NONE),
    "b18-html": robots(text("<title>not rules</title>")),
    "b18-moved": robots(redirect("/rules", "301 Moved")),
    "b18-huge": robots(page(HUGE)),
    "b19": b19,
    "b20": b20,
}


@dataclass
class Crowd:
    """What became of the crawls, and when each host was asked for what."""

    views: dict[str, list[CrawlView]] = field(default_factory=dict)
    records: dict[str, Mapping[str, Record]] = field(default_factory=dict)
    asked: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))

    def times(self, host: str) -> list[float]:
        """When pages of a host were asked for."""
        return [at for at, path in self.asked[host] if path not in {"/robots.txt", "/favicon.ico"}]

    def paths(self, host: str) -> list[str]:
        return [path for _, path in self.asked[host] if path != "/favicon.ico"]

    def gaps(self, host: str) -> list[float]:
        return [after - before for before, after in pairwise(self.times(host))]


async def serve(
    crowd: Crowd, server: Origin, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer as the named host."""
    head = server.heads[-1].decode("latin-1")
    path = head.split(" ")[1]
    host = head.partition("\r\nHost: ")[2].partition(".")[0]
    crowd.asked[host].append((time.monotonic(), path))
    answer = HOSTS[host](path, crowd.paths(host).count(path)) if path != "/favicon.ico" else NONE
    if answer:
        writer.write(answer)
        await writer.drain()
    else:
        writer.transport.abort()


@pytest.fixture(scope="module")
async def crowd(render: bool, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Crowd]:
    """One crawl of each host, two where two count; three attempts per page."""
    found = Crowd()
    settings = Settings.load(
        data_dir=tmp_path_factory.mktemp("politeness"),
        default_delay=0.0,
        egress_allow_cidrs=(PUBLIC,),
        egress_hosts=tuple(f"{name}.test={PUBLIC}" for name in HOSTS),
        tick_seconds=0.2,
        allow_unsandboxed=True,
        retry_after_cap_seconds=CAP_SECONDS,
        host_failures_to_wait=3,
        host_failures_to_give_up=4,
        contexts_per_browser=2 * len(HOSTS),
    )
    async with origin(PUBLIC) as server, Runtime(settings) as runtime:
        server.routes["*"] = lambda reader, writer: serve(found, server, reader, writer)
        engine, stop = Engine(runtime), asyncio.Event()
        work = asyncio.create_task(runtime.work(stop))

        async def crawl(name: str) -> None:
            limit = {"b17": 1, "b19": 4}.get(name, 20)
            view, records = await engine.crawl(
                server.url(host=f"{name}.test"), render=render, source="links", limit=limit, maxAge=0
            )
            base = server.url("", host=f"{name}.test")
            found.views.setdefault(name, []).append(view)
            found.records[name] = {url.removeprefix(base): record for url, record in records.items()}

        await asyncio.gather(*(crawl(name) for name in [*HOSTS, "b17"]))
        stop.set()
        await work
        yield found


def test_all_crawls_end_and_count_every_page(crowd: Crowd) -> None:
    for views in crowd.views.values():
        for view in views:
            assert view.status is CrawlStatus.COMPLETED
            assert view.total == view.finished


def test_origin_b12_retry_after_is_waited_for_and_others_go_on(crowd: Crowd) -> None:
    record = crowd.records["b12"]["/"]
    assert (record.status, record.title) == (UrlStatus.COMPLETED, "at last")
    gaps = crowd.gaps("b12")
    assert len(gaps) == 2
    assert min(gaps) >= CAP_SECONDS
    first, *_, last = crowd.times("b12")
    assert any(first < at < last for at in crowd.times("b20"))


@pytest.mark.parametrize("form", ["seconds", "date", "negative", "garbage"])
def test_origin_b13_a_wait_without_reason_is_capped_or_ours(crowd: Crowd, form: str) -> None:
    record = crowd.records[f"b13-{form}"]["/"]
    assert (record.status, record.reason, record.http_status) == (UrlStatus.ERRORED, "http_error", 429)
    gaps = crowd.gaps(f"b13-{form}")
    assert len(gaps) == 2
    if form in {"seconds", "date"}:
        assert min(gaps) >= CAP_SECONDS
    assert max(gaps) < 10


def test_origin_b14_a_site_that_is_always_busy_ends(crowd: Crowd) -> None:
    """It is given up as a whole, at the latest after three requests for each page."""
    records = [record for path, record in crowd.records["b14"].items() if path != "/"]
    assert len(records) == 10
    assert {(record.status, record.reason) for record in records} == {(UrlStatus.ERRORED, "http_error")}
    assert 1 < len(crowd.times("b14")) <= 1 + 3 * 10


def test_origin_b17_two_crawls_keep_one_distance(crowd: Crowd) -> None:
    assert len(crowd.views["b17"]) == 2
    asked = [at for at, path in crowd.asked["b17"] if path != "/favicon.ico"]
    assert len(asked) == 3
    assert min(after - before for before, after in pairwise(asked)) > CRAWL_DELAY - SLACK


def test_origin_b18_robots_txt_that_fails_forbids_and_other_answers_are_read(crowd: Crowd) -> None:
    assert crowd.paths("b18-500") == ["/robots.txt"] * 3
    start = crowd.records["b18-500"]["/"]
    assert (start.status, start.reason) == (UrlStatus.DISALLOWED, "robots_unreachable")
    for name in ("404", "html"):
        assert crowd.records[f"b18-{name}"]["/no"].status is UrlStatus.COMPLETED
    for name in ("moved", "huge"):
        # Of a huge one the first 500 KiB count.
        assert crowd.records[f"b18-{name}"]["/"].status is UrlStatus.COMPLETED
        assert crowd.records[f"b18-{name}"]["/no"].status is UrlStatus.DISALLOWED
        assert "/no" not in crowd.paths(f"b18-{name}")


def test_origin_b19_robots_txt_is_read_once_a_day(crowd: Crowd) -> None:
    assert crowd.paths("b19") == ["/robots.txt", "/", "/x", "/xx", "/xxx"]


async def test_origin_b19_rules_that_are_out_of_date_are_read_again(engines: Engines, render: bool) -> None:
    """With a lifetime of a second instead of a day."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1.2)
        writer.write(text("<a href=/last>x</a>"))
        await writer.drain()

    async with (
        origin(PUBLIC) as server,
        engines(egress_allow_cidrs=(PUBLIC,), robots_ttl_seconds=1) as engine,
    ):
        server.routes |= {
            "/robots.txt": [page(b"User-agent: *\nAllow: /"), page(b"User-agent: *\nDisallow: /")],
            "/": slow,
        }
        _, records = await engine.crawl(server.url(), render=render, source="links", limit=3)
        assert "/last" not in server.paths
    assert records[server.url("/last")].status is UrlStatus.DISALLOWED


def test_origin_b20_no_page_is_lost_where_connections_are(crowd: Crowd) -> None:
    (view,) = crowd.views["b20"]
    assert (view.completed, view.errored, view.total) == (11, 1, 12)
    lost = crowd.records["b20"]["/never"]
    assert (lost.status, lost.reason) == (UrlStatus.ERRORED, "protocol_error")
    for number in range(10):
        assert crowd.paths("b20").count(f"/{number}") == 2
    assert crowd.paths("b20").count("/never") == 3
