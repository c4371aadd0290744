"""Many names at one address are not a way round politeness (G2), in both modes and over several workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import combinations, pairwise

import pytest
from sqlalchemy import select

from crawler.model import CrawlStatus
from crawler.store.schema import addresses
from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, Handler, answer, serve

NAMES = [f"n{number}.many.test" for number in range(200)]
GAP_SECONDS = 0.2
#: Requests that may come closer than that, in all: turns are kept, but a busy machine sends one sooner after the
#: beginning of its turn and another one later. One that stands still, and so sends nothing, may catch up on that too.
MOST_LATE = 5


def logging_to(times: list[float], pages: Callable[[str], bytes]) -> Handler:
    """An origin that notes when it was asked."""

    def handler(path: str) -> bytes:
        times.append(time.monotonic())
        return NOT_FOUND if path == "/robots.txt" else pages(path)

    return handler


def is_paced(times: list[float]) -> bool:
    """Whether no span of time has more requests than turns."""
    # From the second page on: the rules and the page of the first host come alone, and nothing waits meanwhile.
    longest_pause = max(after - before for before, after in pairwise(times[2:]))
    return all(
        later - earlier <= (times[later] - times[earlier] + longest_pause) / GAP_SECONDS + MOST_LATE
        for earlier, later in combinations(range(len(times)), 2)
    )


async def test_g2_two_hundred_names_at_one_address(engines: Engines, database_url: str) -> None:
    """Five requests a second by default, over two workers; and another address does not wait for them."""
    times: list[float] = []
    names = ",".join(
        [*(f"{name}=127.0.0.1" for name in NAMES), "many.test=127.0.0.1", "other.test=127.0.0.2"]
    )
    async with (
        serve(lambda path: NOT_FOUND if path == "/robots.txt" else answer("page"), "127.0.0.2") as other,
        serve(logging_to(times, lambda path: answer(links))) as origin,
    ):
        links = "".join(f'<a href="{origin.url(host=name)}">x</a>' for name in NAMES)
        settings = {
            "database_url": database_url,
            "default_delay": 0.5,
            "static_slots": 8,
            "egress_hosts": names,
            "egress_allow_cidrs": ("127.0.0.0/8",),
            "egress_allowed_ports": (str(origin.port), str(other.port)),
        }
        async with engines(**settings) as first, engines(**settings):
            crawl_id = await first.start(
                origin.url(host="many.test"), source="links", limit=500, options={"includeSubdomains": True}
            )
            await first.wait(crawl_id, lambda view: view.completed >= 1 and view.queued >= 100)
            async with asyncio.timeout(30):
                view, _ = await first.crawl(other.url(host="other.test"), source="links")
            assert view.status is CrawlStatus.COMPLETED
            await first.wait(crawl_id, lambda _: len(times) >= 20)
            await first.runtime.service.cancel("local", crawl_id)
    assert is_paced(times)


@pytest.mark.browser
async def test_g2_rendered_pages_take_their_turns(engines: Engines) -> None:
    names = NAMES[:6]
    times: list[float] = []
    async with serve(logging_to(times, lambda path: answer(links))) as origin:
        links = "".join(f'<a href="{origin.url(host=name)}">x</a>' for name in names)
        settings = {
            "default_delay": 0.5,
            "egress_hosts": ",".join(f"{name}=127.0.0.1" for name in [*names, "many.test"]),
            "egress_allowed_ports": (str(origin.port),),
        }
        async with engines(**settings) as engine:
            view, _ = await engine.crawl(
                origin.url(host="many.test"), render=True, source="links", options={"includeSubdomains": True}
            )
    assert (view.status, view.completed) == (CrawlStatus.COMPLETED, 7)
    assert len(times) == 2 * 7
    assert is_paced(times)


async def test_g2_a_host_that_is_alone_at_its_address_costs_nothing(engines: Engines) -> None:
    """Its own interval keeps the gap: the database is asked once for all of its pages."""
    links = "".join(f'<a href="/{number}">x</a>' for number in range(8))
    async with (
        serve(logging_to([], lambda path: answer(links))) as origin,
        engines(default_delay=0.05) as engine,
    ):
        view, _ = await engine.crawl(origin.url(), source="links")
        async with engine.runtime.database.read() as connection:
            row = (await connection.execute(select(addresses))).one()
    assert view.completed == 9
    assert row.host == "127.0.0.1"
    assert row.next_at < view.created_at + 9 * 50
