"""What a browser leaves behind, and what its death costs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from crawler.model import ErrorCode, Failure
from tests.render.conftest import Hanging, Origin, Renderers
from tests.render.processes import Sockets, bytes_in, dead, until, worker


async def test_i9_closing_leaves_nothing(renderers: Renderers, site: Origin, folder: Path) -> None:
    killed = folder / "crawl-chromium-999999999-left"
    killed.mkdir()
    site.routes["/"] = "<title>t</title>"
    async with renderers() as renderer:
        await renderer.page(site.url())
        browser = renderer.processes()
        driver = browser[0].parent()
        assert driver is not None
        assert not killed.exists(), "what a killed worker left is removed by the next"
        (home,) = folder.iterdir()
        assert len(list(home.iterdir())) > 1
    assert dead([*browser, driver])
    assert list(folder.iterdir()) == []


async def test_an_idle_browser_is_closed_while_memory_is_short(renderers: Renderers, site: Origin) -> None:
    """One that has a page stays for it, and the next page gets a new one."""
    hanging = Hanging()
    site.routes |= {"/hang": hanging, "/": "<title>t</title>"}
    is_short = False
    async with renderers(is_memory_short=lambda: is_short, render_timeout_seconds=4) as renderer:
        # On a slow machine the start of a browser takes more time than a page has.
        await renderer.renderer.check()
        page = asyncio.create_task(renderer.render(site.url("/hang")))
        await hanging.arrived.wait()
        is_short = True
        browser = renderer.processes()
        failure = await page
        assert isinstance(failure, Failure)
        assert failure.code is ErrorCode.TIMEOUT, "its time was up, and not that of the browser"
        await until(lambda: dead(browser))
        is_short = False
        await renderer.renderer.check()
        assert (await renderer.page(site.url())).title == "t"


@pytest.mark.browser
async def test_x34_what_a_killed_worker_left_goes_at_the_next_start(
    renderers: Renderers, folder: Path
) -> None:
    """Of one that lives nothing goes, whoever starts a browser beside it."""
    async with worker() as (process, browser):
        (home,) = folder.iterdir()
        assert list(home.glob("playwright_chromiumdev_profile-*"))
        async with renderers() as renderer:
            await renderer.renderer.check()
        assert list(folder.iterdir()) == [home]
        # All of them at once, as the kernel does when a container ends: none can clean up behind another.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in (process.pid, *(one.pid for one in browser)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        await process.wait()
        await until(lambda: dead(browser))
    assert list(home.glob("playwright_chromiumdev_profile-*"))
    async with renderers() as renderer:
        await renderer.renderer.check()
        assert not home.exists()
    assert list(folder.iterdir()) == []


@pytest.mark.browser
async def test_x34_dev_shm_without_room_does_not_matter() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting a small file system takes root")
    full = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && head -c 65536 /dev/zero > /dev/shm/full && exec "$@"'
    async with worker("unshare", "--mount", "sh", "-c", full, "sh") as (_, browser):
        assert len(browser) > 2, "it has rendered a page"


@pytest.mark.browser
async def test_i9_a_worker_that_is_killed_takes_its_browser_along() -> None:
    async with worker() as (process, browser):
        assert len(browser) > 2
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await until(lambda: dead(browser), 15)


async def test_x6_a_lost_driver_is_replaced(renderers: Renderers, site: Origin) -> None:
    """Within 5 s; and of several pages in it none is held to have brought it about."""
    hanging = [Hanging(), Hanging()]
    site.routes |= {
        "/0": "<script src=/never0></script>",
        "/1": "<script src=/never1></script>",
        "/never0": hanging[0],
        "/never1": hanging[1],
        "/quick": "<title>quick</title>",
    }
    async with renderers() as renderer:
        victims = [
            asyncio.create_task(renderer.render(site.url(f"/{number}"), crawl_id=f"{number}"))
            for number in range(2)
        ]
        for one in hanging:
            await one.arrived.wait()
        browser = renderer.processes()
        driver = browser[0].parent()
        assert driver is not None
        driver.kill()
        for failure in await asyncio.wait_for(asyncio.gather(*victims), 5):
            assert isinstance(failure, Failure)
            assert (failure.code, failure.retryable) == (ErrorCode.BROWSER_CRASHED, True)
            assert failure.is_shared
        assert (await renderer.page(site.url("/quick"))).title == "quick"
        await until(lambda: dead([*browser, driver]))


async def test_x4_f14_a_lost_browser_is_replaced(renderers: Renderers, site: Origin) -> None:
    hanging = Hanging()
    site.routes |= {"/hang": hanging, "/quick": "<title>quick</title>"}
    async with renderers() as renderer:
        victim = asyncio.create_task(renderer.render(site.url("/hang")))
        await hanging.arrived.wait()
        browser = renderer.processes()
        browser[0].kill()
        failure = await asyncio.wait_for(victim, 5)
        assert isinstance(failure, Failure)
        assert (failure.code, failure.retryable) == (ErrorCode.BROWSER_CRASHED, True)
        assert not failure.is_shared
        assert (await renderer.page(site.url("/quick"))).title == "quick"
        await until(lambda: dead(browser))


async def test_x7_a_page_that_does_not_let_itself_be_closed_is_closed(
    renderers: Renderers, site: Origin
) -> None:
    site.routes["/"] = """<title>stay</title><script>
        addEventListener("beforeunload", event => { event.preventDefault(); event.returnValue = "stay"; });
        for (const name of ["beforeunload", "pagehide", "visibilitychange", "unload"])
            addEventListener(name, () => { const end = Date.now() + 60_000; while (Date.now() < end); });
        </script>"""
    site.routes["/quick"] = "<title>quick</title>"
    async with renderers() as renderer:
        assert (await renderer.page(site.url())).title == "stay"
        # Its own crawl waits for it, at the longest for one page's time; others do not.
        quick = renderer.page(site.url("/quick"), crawl_id="another")
        assert (await asyncio.wait_for(quick, 20)).title == "quick"
        browser = renderer.processes()
    await until(lambda: dead(browser))


async def test_closing_ends_a_page_in_flight(renderers: Renderers, site: Origin) -> None:
    hanging = Hanging()
    site.routes["/"] = hanging
    async with renderers() as renderer:
        victim = asyncio.create_task(renderer.render(site.url()))
        await hanging.arrived.wait()
    assert isinstance(await asyncio.wait_for(victim, 5), Failure)


async def test_a_page_that_is_cancelled_is_closed(renderers: Renderers, site: Origin) -> None:
    sockets = Sockets()
    site.routes |= {
        "/": "<script>new WebSocket(`ws://${location.host}/socket`)</script><script src=/never></script>",
        "/never": Hanging(),
        "/socket": sockets,
    }
    async with renderers() as renderer:
        victim = asyncio.create_task(renderer.render(site.url()))
        await sockets.opened.wait()
        victim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await victim
        await asyncio.wait_for(sockets.closed.wait(), 10)


async def test_x7_a_tab_that_does_not_close_takes_its_browser_along(
    renderers: Renderers, site: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawler.fetch.crawl_context._CLOSE_SECONDS", 0.5)
    hanging = Hanging()
    site.routes |= {"/hang": hanging, "/quick": "<title>quick</title>"}
    async with renderers() as renderer:
        await renderer.page(site.url("/quick"))
        victim = asyncio.create_task(renderer.render(site.url("/hang"), deadline_seconds=5))
        await asyncio.wait_for(hanging.arrived.wait(), 5)
        browser = renderer.processes()
        browser[0].suspend()
        failure = await victim
        assert isinstance(failure, Failure)
        assert failure.code is ErrorCode.TIMEOUT
        await until(lambda: dead(browser))
        assert (await renderer.page(site.url("/quick"))).title == "quick"


async def test_f8_a_page_that_fills_its_storage_ends_with_its_browser_and_leaves_nothing(
    renderers: Renderers, site: Origin, folder: Path
) -> None:
    """What contexts store is memory of the browser's main process. Nothing of it is ever written to a disk."""
    site.routes |= {
        "/": """<title>t</title><script>(async () => {
            const chunk = new Uint8Array(16 << 20);
            const database = await new Promise((done) => {
              const opening = indexedDB.open('d');
              opening.onupgradeneeded = () => opening.result.createObjectStore('s');
              opening.onsuccess = () => done(opening.result) });
            const cache = await caches.open('c');
            const files = await navigator.storage.getDirectory();
            const ways = [
              (n) => new Promise((done, failed) => {
                const change = database.transaction('s', 'readwrite');
                change.objectStore('s').put(chunk, n);
                change.oncomplete = done; change.onabort = failed }),
              (n) => cache.put(`/${n}`, new Response(chunk)),
              async (n) => {
                const file = await (await files.getFileHandle(`${n}`, { create: true })).createWritable();
                await file.write(chunk); await file.close() }];
            for (let n = 0; n < 96; n++) await ways[n % 3](n);
            fetch('/full') })()</script><script src=/never></script>""",
        "/never": Hanging(),
        "/quick": "<title>quick</title>",
    }
    async with renderers(browser_memory_bytes=256 << 20) as renderer:
        await renderer.page(site.url("/quick"))
        filling = asyncio.create_task(renderer.render(site.url(), crawl_id="filling"))
        while not filling.done():
            assert bytes_in(folder) < 16 << 20
            await asyncio.wait([filling], timeout=0.2)
        failure = filling.result()
        assert isinstance(failure, Failure)
        assert failure.code is ErrorCode.BROWSER_CRASHED
        assert site.count("/full") == 0
        assert (await renderer.page(site.url("/quick"))).title == "quick"
    assert list(folder.iterdir()) == []
