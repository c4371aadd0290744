"""A site that sends every visitor to somebody else does not make us hammer that one (security G3)."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from crawler.model import UrlStatus
from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, answer, serve

DELAY_SECONDS = 0.2
PAGES = 6


@pytest.mark.parametrize("render", [False, pytest.param(True, marks=pytest.mark.browser)])
async def test_g3_a_victim_of_redirects_has_its_rules_and_its_interval(
    engines: Engines, render: bool
) -> None:
    asked: list[tuple[float, str]] = []
    links = "".join(f'<a href="/{number}">x</a>' for number in range(PAGES))

    def victim(path: str) -> bytes:
        asked.append((time.monotonic(), path))
        rules = "User-agent: *\nDisallow: /private"
        return answer(rules, content_type="text/plain") if path == "/robots.txt" else answer("victim")

    def bad(path: str) -> bytes:
        if path in ("/robots.txt", "/"):
            return NOT_FOUND if path == "/robots.txt" else answer(links)
        target = "/private" if path == "/0" else path
        return answer(status="302 Found", location=hurt.url(target, host="victim.test"))

    async with serve(victim) as hurt, serve(bad) as origin:
        settings = {
            # A site without a delay is in a greater hurry than its victim may be asked.
            "default_delay": DELAY_SECONDS,
            "address_requests_per_second": 0,
            "egress_hosts": ("bad.test=127.0.0.1", "victim.test=127.0.0.1"),
            "egress_allowed_ports": (str(hurt.port), str(origin.port)),
        }
        async with engines(**settings) as engine:
            _, records = await engine.crawl(origin.url(host="bad.test"), source="links", render=render)
    paths = [path for _, path in asked if path != "/favicon.ico"]
    assert paths[0] == "/robots.txt"
    assert "/private" not in paths
    assert records[origin.url("/0", host="bad.test")].status is UrlStatus.DISALLOWED
    assert paths.count("/1") == 1
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(asked)]
    assert sum(gaps) >= (PAGES - 1) * DELAY_SECONDS - 0.1
    assert min(gaps) > DELAY_SECONDS / 2
