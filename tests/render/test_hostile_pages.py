"""Pages that burn, crash, pop up and hide: they cost themselves, nobody else, and they end."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from crawler.model import ErrorCode, Failure, Rendered
from tests.render.conftest import Hanging, Origin, Renderers, Rendering, command_of, until_dead

QUICK = "<title>quick</title><body><script>document.body.append('by script')</script>"


async def test_f11_a_page_that_holds_all_connections_holds_up_nobody(
    renderer: Rendering, site: Origin
) -> None:
    site.routes |= {
        "/": "<title>t</title><script>for (let i = 0; i < 6; i++) fetch('/hang?' + i)</script>",
        "/hang": Hanging(),
    }
    for _ in range(3):
        assert (await renderer.page(site.url())).title == "t"


@pytest.mark.parametrize(
    "burn",
    [
        "<title>t</title><script>while (true);</script>",
        "<title>t</title><script>addEventListener('load', () => setInterval(() => { while (true); }))</script>",
    ],
)
async def test_f1_a_page_that_burns_cpu_ends_alone(renderers: Renderers, site: Origin, burn: str) -> None:
    site.routes |= {"/burn": burn, "/quick": QUICK}
    async with renderers() as renderer:
        await renderer.page(site.url("/quick"))
        started = time.monotonic()
        burning = asyncio.create_task(renderer.render(site.url("/burn"), deadline_seconds=6))
        process = await renderer.busy_page()
        for _ in range(3):
            assert (await renderer.page(site.url("/quick"))).title == "quick"
        failure = await burning
        assert isinstance(failure, Failure)
        assert failure.code is ErrorCode.TIMEOUT
        assert time.monotonic() - started < 6 + 5
        assert (await renderer.page(site.url("/quick"))).title == "quick"
        await until_dead(process)


async def test_f1_a_worker_that_burns_cpu_does_not_hold_the_page(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<title>t</title><script>
        new Worker(URL.createObjectURL(new Blob(['while (true);'])))</script>"""
    assert (await renderer.page(site.url())).title == "t"


async def test_x8_f2_a_page_that_eats_memory_is_killed(renderers: Renderers, site: Origin) -> None:
    site.routes |= {
        "/eat": """<script>const kept = [];
            setInterval(() => { if (kept.length < 96) kept.push(new Uint8Array(1 << 24).fill(1)) }, 5)
            </script><script src=/never></script>""",
        "/quick": QUICK,
    }
    site.routes["/never"] = Hanging()
    async with renderers(browser_memory_bytes=256 << 20) as renderer:
        assert (await renderer.failure(site.url("/eat"))).code is ErrorCode.BROWSER_CRASHED
        assert (await renderer.page(site.url("/quick"))).title == "quick"


async def test_x5_f14_a_renderer_that_is_killed_costs_its_page_only(
    renderers: Renderers, site: Origin
) -> None:
    hanging = Hanging()
    site.routes |= {"/hang": "<script src=/never></script>", "/never": hanging, "/quick": QUICK}
    async with renderers() as renderer:
        victim = asyncio.create_task(renderer.render(site.url("/hang")))
        await hanging.arrived.wait()
        browser = renderer.processes()
        for process in browser:
            if "--type=renderer" in command_of(process):
                process.kill()
        failure = await victim
        assert isinstance(failure, Failure)
        assert (failure.code, failure.retryable) == (ErrorCode.BROWSER_CRASHED, True)
        assert (await renderer.page(site.url("/quick"))).title == "quick"
        assert browser[0].is_running()


async def test_f3_dialogs_are_dismissed(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<script>
        onbeforeunload = (event) => { event.preventDefault(); return 'stay' };
        let asked = 0;
        for (let i = 0; i < 5; i++) { alert(i); asked += confirm(i) + (prompt(i) !== null) }
        print();
        document.title = `asked ${asked}`;</script>"""
    assert (await renderer.page(site.url())).title == "asked 0"
    site.routes["/next"] = "<title>next</title>"
    assert (await renderer.page(site.url("/next"))).title == "next"


async def test_a52_f5_popups_do_not_open(renderer: Rendering, site: Origin) -> None:
    site.routes |= {
        "/": """<title>t</title><form action=/popup target=_blank id=f></form><a href=/popup target=_blank id=a>x</a>
            <script>
              for (let i = 0; i < 100; i++) open('/popup');
              f.submit(); a.click(); window.close();
              document.title = 'still here';
            </script>""",
        "/popup": "<title>popup</title>",
    }
    assert (await renderer.page(site.url())).title == "still here"
    assert (await renderer.page(site.url())).title == "still here"
    assert site.count("/popup") == 0


async def test_b15_a_challenge_without_credentials_is_a_page(renderer: Rendering, site: Origin) -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="r"', "Content-Type": "text/html"}
    site.routes["/"] = web.Response(status=401, text="<title>who?</title>", headers=challenge)
    page = await renderer.page(site.url())
    assert (page.response.status, page.title) == (401, "who?")


async def test_f12_permissions_are_denied(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<script>
        navigator.geolocation.getCurrentPosition(() => { document.title += ' located' }, () => {});
        Notification?.requestPermission?.().then(answer => { document.title += ' ' + answer });
        navigator.mediaDevices?.getUserMedia({ audio: true }).then(() => { document.title += ' heard' }, () => {});
        </script><title>t</title>"""
    assert "located" not in (await renderer.page(site.url())).title
    assert "granted" not in (await renderer.page(site.url())).title


async def test_f15_a_flood_of_console_lines_and_errors_is_a_page(
    renderer: Rendering, site: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    site.routes["/"] = """<title>t</title><script>
        for (let i = 0; i < 2e4; i++) console.log('flooded', i);
        for (let i = 0; i < 100; i++) Promise.reject(new Error('x'.repeat(1e5)));
        throw new Error('end');</script>"""
    with caplog.at_level("DEBUG"):
        page = await renderer.page(site.url())
    assert page.title == "t"
    assert "flooded" not in caplog.text
    assert "xxx" not in caplog.text


async def test_f8_storage_and_cookies_are_the_crawls_own(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<script>
        const seen = [document.cookie, localStorage.getItem('k')].filter(Boolean).join() || 'nothing';
        document.cookie = 'c=1; max-age=1000'; localStorage.setItem('k', 'v'); document.title = `seen ${seen}`;
        </script>"""
    assert (await renderer.page(site.url(), crawl_id="one")).title == "seen nothing"
    assert (await renderer.page(site.url(), crawl_id="one")).title == "seen c=1,v"
    assert (await renderer.page(site.url(), crawl_id="two")).title == "seen nothing"
    await renderer.renderer.close_crawl("one")
    assert (await renderer.page(site.url(), crawl_id="one")).title == "seen nothing"
    for crawl_id in ("one", "two"):
        await renderer.renderer.close_crawl(crawl_id)


async def test_f7_service_workers_are_blocked(renderers: Renderers, site: Origin) -> None:
    # Service workers need a secure origin; among those without TLS that is localhost alone.
    site.routes |= {
        "/": """<script>
            const { register } = ServiceWorkerContainer.prototype;
            Promise.allSettled([navigator.serviceWorker.register('/sw.js'),
                                register.call(navigator.serviceWorker, '/sw.js')])
              .then(() => { document.title = 'tried' })</script>""",
        "/sw.js": web.Response(
            text="onfetch = (event) => event.respondWith(new Response('<title>by worker</title>',"
            " { headers: { 'content-type': 'text/html' } })); skipWaiting(); onactivate = () => clients.claim()",
            content_type="text/javascript",
        ),
        "/next": "<title>by the site</title>",
    }
    name = "crawled.localhost=127.0.0.2"
    async with renderers(egress_hosts=(name,)) as renderer:
        await renderer.render(f"http://crawled.localhost:{site.port}/")
        page = await renderer.render(f"http://crawled.localhost:{site.port}/next")
        assert not isinstance(page, Rendered) or page.title == "by the site"
