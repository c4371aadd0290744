"""How long a browser lives, and how much of it is open."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from crawler.fetch.render_options import RenderOptions
from tests.render.conftest import Origin, Renderers
from tests.render.processes import Sockets, dead, until


async def test_a_browser_is_replaced_after_its_pages(renderers: Renderers, site: Origin) -> None:
    site.routes["/"] = "<title>t</title>"
    async with renderers(pages_per_browser=3) as renderer:
        first = None
        for _ in range(3):
            await renderer.page(site.url())
            main = renderer.processes()[0]
            assert first in (None, main)
            first = main
        assert first is not None
        await renderer.page(site.url())
        assert renderer.processes()[0] != first
        await until(lambda: dead([first]))


async def test_a_browser_is_replaced_after_its_time(renderers: Renderers, site: Origin) -> None:
    """Also while nobody uses it."""
    site.routes["/"] = "<title>t</title>"
    async with renderers(browser_lifetime_seconds=1) as renderer:
        await renderer.page(site.url())
        first = renderer.processes()
        await until(lambda: dead(first))
        assert (await renderer.page(site.url())).title == "t"


async def test_a_browser_that_has_taken_too_much_memory_is_replaced(
    renderers: Renderers, site: Origin
) -> None:
    """Not before its pages are done: only twice as much is an emergency."""
    site.routes |= {
        "/": """<title>t</title><script>
            const kept = Array.from({ length: 20 }, () => new Uint8Array(1 << 24).fill(1))</script>""",
        "/quick": "<title>quick</title>",
    }
    options = RenderOptions(wait_for_timeout=timedelta(seconds=2))
    async with renderers(browser_memory_bytes=320 << 20) as renderer:
        assert (await renderer.page(site.url(), options)).title == "t"
        first = renderer.processes()
        await until(lambda: dead(first))
        assert (await renderer.page(site.url("/quick"))).title == "quick"


async def test_four_pages_at_once_share_a_browser_that_is_due(renderers: Renderers, site: Origin) -> None:
    site.routes["/"] = "<title>t</title><script>fetch('/')</script>"
    async with renderers(pages_per_browser=4, navigations_per_page=2) as renderer:
        pages = await asyncio.gather(*(renderer.page(site.url()) for _ in range(12)))
        assert [page.title for page in pages] == ["t"] * 12


async def test_idle_tabs_are_closed(renderers: Renderers, site: Origin) -> None:
    sockets = Sockets()
    site.routes |= {
        "/": "<title>t</title><script>new WebSocket(`ws://${location.host}/socket`)</script>",
        "/socket": sockets,
    }
    async with renderers() as renderer:
        await renderer.page(site.url())
        await asyncio.wait_for(sockets.closed.wait(), 10)


async def test_no_more_contexts_than_allowed(renderers: Renderers, site: Origin) -> None:
    site.routes["/"] = "<script>document.title = document.cookie; document.cookie = 'seen=1'</script>"
    async with renderers(contexts_per_browser=2) as renderer:
        for crawl_id in ("a", "b", "a", "c"):
            await renderer.page(site.url(), crawl_id=crawl_id)
        # "b" was not used for longest, so it had to go, and with it its cookies.
        assert (await renderer.page(site.url(), crawl_id="a")).title == "seen=1"
        assert (await renderer.page(site.url(), crawl_id="b")).title == ""
