"""The browser as a process: what it is started with, what it leaves behind, and what its death costs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from playwright.async_api import async_playwright

from crawler.errors import ConfigurationError
from crawler.fetch import chromium, selftest
from crawler.fetch.render_options import RenderOptions
from crawler.model import ErrorCode, Failure
from tests.render.conftest import Hanging, Origin, Renderers, Rendering, command_of, settings_for

REPOSITORY = Path(__file__).parents[2]


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for a condition to hold."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


def dead(processes: Iterable[psutil.Process]) -> bool:
    """Whether all of them have ended; a zombie has, only its parent does not know yet."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def bytes_in(folder: Path) -> int:
    """The size of all files, of which some may go meanwhile."""
    size = 0
    for where, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                size += (Path(where) / file).lstat().st_size
    return size


class WorkerDied(Exception):
    """The worker ended before its browser ran."""


@asynccontextmanager
async def worker(*prefix: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[psutil.Process]]]:
    """A process that renders, and the processes of its browser."""
    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-m",
        "tests.render.worker",
        cwd=REPOSITORY,
        env={**os.environ, "HOME": tempfile.gettempdir(), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        if not line:
            raise WorkerDied((await process.stderr.read()).decode().strip().splitlines()[-1])
        yield process, [psutil.Process(int(pid)) for pid in line.split()]
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Sockets:
    """A WebSocket of a page, which lives as long as the page."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.closed = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.opened.set()
        async for _ in socket:
            pass
        self.closed.set()
        return socket


# --- how it is started ----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
async def test_b1_root_may_not_render_unless_told_to(renderers: Renderers) -> None:
    async with renderers(allow_unsandboxed=False) as renderer:
        with pytest.raises(ConfigurationError, match="must not run as root"):
            await renderer.renderer.check()
    async with renderers(allow_unsandboxed=True) as renderer:
        assert (await renderer.renderer.check()).endswith("without its sandbox")


async def test_a47_the_switch_that_opens_loopback_is_refused(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAYWRIGHT_DISABLE_FORCED_CHROMIUM_PROXIED_LOOPBACK", "1")
    async with renderers() as renderer:
        with pytest.raises(ConfigurationError, match="PROXIED_LOOPBACK"):
            await renderer.renderer.check()


async def test_b2_b4_the_command_line_is_ours(renderer: Rendering) -> None:
    await renderer.renderer.check()
    main, *children = renderer.processes()
    command = main.cmdline()
    # Not Debian's wrapper script, which adds the switches of a folder.
    assert Path(main.exe()) == chromium.find_chromium(renderer.settings)
    forbidden = ("--disable-web-security", "--remote-debugging-port", "--ignore-certificate-errors",
                 "--single-process", "--disable-popup-blocking")  # fmt: skip
    for process in (main, *children):
        words = command_of(process)
        assert not [word for word in words if word.startswith(forbidden)]
        if chromium.has_sandbox(renderer.settings):
            assert "--no-sandbox" not in words
    lists = [
        set(word.partition("=")[2].split(",")) for word in command if word.startswith("--disable-features=")
    ]
    playwrights, ours = lists
    assert playwrights <= ours, "Chromium honours the last list only; add what Playwright disables"
    assert "WebTransport" in ours


@pytest.mark.browser
async def test_b2_renderers_run_in_the_sandbox() -> None:
    # Root has no sandbox, so it gives up being root, and keeps only the right to read its own interpreter.
    rights = "-all,+dac_read_search"
    user = ["setpriv", "--reuid=65534", "--clear-groups", f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv is needed to stop being root")
    try:
        async with worker(*(user if os.geteuid() == 0 else ())) as (_, browser):
            renderers = [process for process in browser if "--type=renderer" in command_of(process)]
            assert renderers
            for process in renderers:
                status = Path(f"/proc/{process.pid}/status").read_text()
                fields = dict(line.split(":", 1) for line in status.splitlines())
                assert fields["Seccomp"].strip() == "2"
                assert len(fields["NSpid"].split()) > 1, "not in a process namespace of its own"
    except WorkerDied as error:
        pytest.skip(f"no sandbox on this machine: {error}")


async def test_b3_the_environment_has_nothing_of_ours(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_MARKER", "s3cret")
    async with renderers() as renderer:
        await renderer.renderer.check()
        main = renderer.processes()[0]
        zygotes = [child for child in main.children() if "--type=zygote" in command_of(child)]
        assert zygotes, "all renderers are forks of these"
        for process in (main, *zygotes):
            assert "SECRET_MARKER" not in process.environ()
        driver = main.parent()
        assert driver is not None
        assert driver.environ()["NODE_OPTIONS"] == "--max-semi-space-size=2"
        names = main.environ()
        assert names["HOME"].startswith(tempfile.gettempdir())
        assert {name for name in names if not name.startswith("XDG_")} <= {
            "PATH",
            "HOME",
            "TMPDIR",
            "LANG",
            "TZ",
        }


async def test_the_named_browser_has_to_be_executable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CRAWL_CHROMIUM"):
        chromium.find_chromium(settings_for(chromium=tmp_path / "none"))


async def test_a_browser_that_does_not_start_is_named(renderers: Renderers, folder: Path) -> None:
    broken = folder / "chromium"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    async with renderers(chromium=broken) as renderer:
        with pytest.raises(Exception, match=r"Chromium at .*/chromium does not start"):
            await renderer.renderer.check()
    assert [path.name for path in folder.iterdir()] == ["chromium"]


# --- the self-test can fail -----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize(
    ("dropped", "dead_proxy", "leak"),
    [
        ((), True, None),
        (("--webrtc", "--force-webrtc"), True, "UDP"),
        ((), False, "TCP"),
    ],
)
async def test_a62_the_self_test_sees_what_gets_out(
    dropped: tuple[str, ...], dead_proxy: bool, leak: str | None
) -> None:
    settings = settings_for()
    switches = [
        word for word in chromium.switches(settings, marker="x") if not word.startswith(dropped or "-- ")
    ]
    executable = chromium.find_chromium(settings)
    if executable is None:
        pytest.skip("no Chromium is installed")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=executable,
            args=switches,
            proxy={"server": chromium.DEAD_PROXY, "bypass": chromium.PROXY_EVERYTHING}
            if dead_proxy
            else None,
            chromium_sandbox=chromium.has_sandbox(settings),
        )
        found = await selftest.find_leak(browser)
        await browser.close()
    assert (found is None) == (leak is None)
    assert (leak or "") in (found or "")


async def test_x45_a62_a_browser_that_has_lost_switches_is_refused(
    renderers: Renderers, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tuple(word for word in chromium._SWITCHES if "webrtc" not in word)
    monkeypatch.setattr(chromium, "_SWITCHES", kept)
    async with renderers() as renderer:
        with pytest.raises(ConfigurationError, match="cannot be used safely"):
            await renderer.renderer.check()


def test_b4_a_wrapper_script_is_never_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = tmp_path / "chromium"
    wrapper.write_text("#!/bin/sh\nexec /usr/lib/chromium/chromium --no-sandbox\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr(chromium, "_DEBIAN", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert chromium.find_chromium(settings_for()) is None


# --- how it ends ----------------------------------------------------------------------------------------------


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


# --- how long it lives ----------------------------------------------------------------------------------------


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
