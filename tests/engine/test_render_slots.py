"""How many pages a rendering process works on at once."""

from __future__ import annotations

import asyncio

import pytest

from crawler.model import UrlStatus
from tests.engine.conftest import Engines
from tests.engine.origin import answer, serve

pytestmark = pytest.mark.browser

#: Loads nothing, and is never done: it is read when its time is up.
RESTLESS = "<title>restless</title><p id=p></p><script>setInterval(() => p.textContent += '.', 5)</script>"


async def test_a_page_that_is_only_watched_lets_another_load(engines: Engines) -> None:
    def page(path: str) -> bytes:
        return answer(RESTLESS if path == "/restless" else "<title>calm</title>")

    async with (
        serve(page) as origin,
        engines(render_slots=1, settle_seconds=30, egress_allowed_ports=(str(origin.port),)) as engine,
    ):
        restless = await engine.start(origin.url("/restless"), render=True, limit=1, source="links")
        async with asyncio.timeout(30):
            while "/restless" not in origin.paths:
                await asyncio.sleep(0.02)
        view, _ = await engine.crawl(origin.url("/calm"), render=True, limit=1, source="links")
        assert view.completed == 1
        assert [record.status for record in await engine.records(restless)] == [UrlStatus.QUEUED]
