"""More ways out: names that move, workers that stay, our own listeners, and selectors that are more than CSS."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from crawler.fetch.render_options import RenderOptions, SelectorWait
from crawler.model import ErrorCode, Failure
from tests.fetch.origins import PUBLIC, Answers, Canary
from tests.render.conftest import Origin, Renderers, Rendering, command_of, html, redirect, until_dead

PRIVATE = "127.0.0.3"
FULL_BROWSER = Path("/usr/lib/chromium/chromium")


@pytest.mark.parametrize("keep_alive", [True, False])
async def test_a36_a37_a_name_that_moves_takes_no_request_along(
    naming: tuple[Rendering, Answers], site: Origin, canary: Canary, keep_alive: bool
) -> None:
    """Public for the document, then public and private in turns; the origin of A37 forces a dial per request."""

    async def answer(_: web.Request) -> web.Response:
        found = web.Response(text="x")
        if not keep_alive:
            found.force_close()
        return found

    site.routes |= {
        "/": f"""<script>
            const urls = Array.from({{ length: 50 }}, (_, n) =>
              n % 2 ? `/own?${{n}}` : `http://rebind.test:{canary.port}/${{n}}`);
            Promise.allSettled(urls.map((url) => fetch(url, {{ mode: 'no-cors' }})))
              .then((all) => {{ document.title = `${{all.length}} tried` }})</script>""",
        "/own": answer,
    }
    renderer, names = naming
    names.questions.clear()
    names.names["rebind.test"] = [[PUBLIC], *([PRIVATE], [PUBLIC], [PRIVATE, PUBLIC]) * 40, [PRIVATE]]
    page = await renderer.page(f"http://rebind.test:{site.port}/")
    assert page.title == "50 tried"
    assert names.questions.count("rebind.test") > 10, "each dial asks again"
    await renderer.renderer.close_crawl("crawl")


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([[PRIVATE]], ErrorCode.BLOCKED_DESTINATION),
        ([[PUBLIC, PRIVATE]], ErrorCode.BLOCKED_DESTINATION),
        ([["::ffff:127.0.0.3"]], ErrorCode.BLOCKED_DESTINATION),
        ([[]], ErrorCode.DNS_FAILURE),
        ([None], ErrorCode.DNS_FAILURE),
    ],
    ids=["a22_private", "a23_dual_answer", "a38_mapped", "a40_none", "a39_hangs"],
)
async def test_a22_to_a40_names_are_judged_for_the_browser_too(
    naming: tuple[Rendering, Answers], canary: Canary, answers: list[list[str] | None], code: ErrorCode
) -> None:
    renderer, names = naming
    names.names["name.test"] = answers
    assert (await renderer.failure(f"http://name.test:{canary.port}/")).code is code


@pytest.mark.parametrize(
    "way",
    [
        "<meta http-equiv=refresh content='0;url={there}'>",
        "<body onload='f.submit()'><form id=f method=post action={there}>",
        "<script>document.write('<form id=f method=post action={there}></form>'); f.submit()</script>",
    ],
)
async def test_a31_no_redirect_by_the_page_reaches_a_private_address(
    renderer: Rendering, site: Origin, canary: Canary, way: str
) -> None:
    site.routes["/"] = way.format(there=f"http://{PRIVATE}:{canary.port}/")
    assert (await renderer.failure(site.url())).code is ErrorCode.BLOCKED_DESTINATION


async def test_a31_a_refresh_header_reaches_no_private_address(
    renderer: Rendering, site: Origin, canary: Canary
) -> None:
    site.routes["/"] = html("<p>x", headers={"Refresh": f"0; url=http://{PRIVATE}:{canary.port}/"})
    assert (await renderer.failure(site.url())).code is ErrorCode.BLOCKED_DESTINATION


@pytest.mark.parametrize("form", ["//{}/", "\\\\{}\\", "http:///{}/", "http:\\/{}/"])
async def test_a30_forms_of_a_location_that_name_a_host(
    renderer: Rendering, site: Origin, canary: Canary, form: str
) -> None:
    site.routes["/"] = redirect(form.format(f"{PRIVATE}:{canary.port}"))
    assert (await renderer.failure(site.url())).code is ErrorCode.BLOCKED_DESTINATION


async def test_a27_five_good_hops_then_private(renderer: Rendering, site: Origin, canary: Canary) -> None:
    for step in range(5):
        site.routes[f"/{step}"] = redirect(f"/{step + 1}")
    site.routes["/4"] = redirect(f"http://{PRIVATE}:{canary.port}/")
    assert (await renderer.failure(site.url("/0"))).code is ErrorCode.BLOCKED_DESTINATION
    assert [request.path for request in site.requests] == ["/0", "/1", "/2", "/3", "/4"]


async def test_a46_no_worker_outlives_its_page(renderers: Renderers, site: Origin, canary: Canary) -> None:
    """Service workers are not registered; other workers end with the page; and then the way out is closed.

    So nothing needs to be waited for: there is neither a script left nor a port that it could use.
    """
    there = f"http://{PRIVATE}:{canary.port}"
    script = web.Response(
        text=f"""const leave = () => fetch('{there}', {{ mode: 'no-cors' }}).catch(() => 0);
            for (const name of ['install', 'activate', 'fetch']) addEventListener(name, leave);
            setInterval(() => {{ leave(); fetch('/tick') }}, 20); leave();""",
        content_type="text/javascript",
    )
    site.routes |= {
        "/": """<script>
            new Worker('/worker.js'); new SharedWorker('/shared.js');
            const { register } = ServiceWorkerContainer.prototype;
            Promise.allSettled([navigator.serviceWorker.register('/sw.js'),
                                register.call(navigator.serviceWorker, '/sw.js')])
              .then((all) => { document.title = all.map((one) => one.status).join() })</script>""",
        "/worker.js": script,
        "/shared.js": script,
        "/sw.js": script,
        "/tick": web.Response(text=""),
    }
    async with renderers(egress_hosts=(f"secure.localhost={PUBLIC}",)) as renderer:
        before = _listening()
        await renderer.page(f"http://secure.localhost:{site.port}/")
        assert site.count("/sw.js") == 0
        assert site.count("/worker.js") == 1
        (port,) = _listening() - before
        pages = [process for process in renderer.processes() if "--type=renderer" in command_of(process)]
        await renderer.renderer.close_crawl("crawl")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await until_dead(*pages)


async def test_a48_web_rtc_of_the_full_browser_sends_nothing(
    renderers: Renderers, site: Origin, canary: Canary
) -> None:
    """It reads another switch than the headless shell. The self-test at its start has tried UDP as well."""
    if not FULL_BROWSER.exists():
        pytest.skip("the full browser is not installed")
    site.routes["/"] = f"""<script>
        const calls = new RTCPeerConnection({{ iceServers: [
          {{ urls: 'stun:{PRIVATE}:{canary.port}' }},
          {{ urls: 'turn:{PRIVATE}:{canary.port}?transport=tcp', username: 'u', credential: 'p' }} ] }});
        calls.createDataChannel('c');
        calls.onicegatheringstatechange = () => {{ document.title = calls.iceGatheringState }};
        calls.createOffer().then((offer) => calls.setLocalDescription(offer));</script>"""
    async with renderers(chromium=FULL_BROWSER) as renderer:
        assert (await renderer.page(site.url())).title in ("gathering", "complete")


async def test_a58_a59_no_page_reaches_a_listener_of_ours(
    renderers: Renderers, site: Origin, canary: Canary
) -> None:
    """The proxy's port is found by no name and no form of its address, even where the operator allows loopback."""
    before = _listening()

    async def ports(_: web.Request) -> web.Response:
        return web.json_response(sorted(_listening() - before))

    site.routes |= {
        "/": """<script type=module>
            const ports = await (await fetch('/ports')).json();
            const tried = ports.flatMap((port) => ['127.0.0.1', 'loop.test', '[::ffff:127.0.0.1]']
              .map((host) => fetch(`http://${host}:${port}/`, { mode: 'no-cors' })));
            const ends = await Promise.allSettled(tried);
            document.title = `${ends.length} ${[...new Set(ends.map((end) => end.status))]}`;</script>""",
        "/ports": ports,
    }
    async with renderers(
        egress_allow_cidrs=(PUBLIC, "127.0.0.1"), egress_hosts=("loop.test=127.0.0.1",)
    ) as renderer:
        page = await renderer.page(site.url())
    count, _, ends = page.title.partition(" ")
    assert int(count) >= 3
    assert ends == "rejected"


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.5", "[::]"])
async def test_a60_no_frame_reaches_this_machine(
    renderer: Rendering, site: Origin, canary: Canary, host: str
) -> None:
    site.routes["/"] = (
        f"<title>t</title><iframe src='http://{host}:{canary.port}/v1/' onload='document.title += 1'></iframe>"
    )
    page = await renderer.page(site.url())
    assert page.title.startswith("t")


@pytest.mark.parametrize(
    "selector",
    ["a[", "internal:control=enter-frame", "xpath=//*", "_react=x", ":has(" * 200, "a" * (1 << 20) + "["],
    ids=lambda selector: selector[:12],
)
async def test_c12_selectors_are_css_and_nothing_else(
    renderer: Rendering, site: Origin, selector: str
) -> None:
    site.routes["/"] = "<title>t</title><iframe srcdoc='<p>x'></iframe>"
    options = RenderOptions(wait_for_selector=SelectorWait(selector))
    found = await renderer.render(site.url(), options, deadline_seconds=10)
    assert isinstance(found, Failure)
    assert (found.code, found.retryable) == (ErrorCode.BAD_SELECTOR, False)


async def test_c17_only_the_seeds_own_origin_gets_a_header(
    renderer: Rendering, site: Origin, other: Origin
) -> None:
    sockets: list[str | None] = []

    async def socket(request: web.Request) -> web.WebSocketResponse:
        sockets.append(request.headers.get("X-Api-Key"))
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        return answer

    other.routes |= {"/socket": socket, "/img": web.Response(), "/landed": "<title>landed</title>"}
    site.routes |= {
        "/": f"""<img src={other.url("/img")}><script>
            new WebSocket('ws://{other.host}:{other.port}/socket').onopen = () => {{ location = '/away' }}</script>""",
        "/away": redirect(other.url("/landed")),
    }
    options = RenderOptions(own_origin=site.base, headers={"X-Api-Key": "k"})
    assert (await renderer.page(site.url(), options)).title == "landed"
    assert site.headers("/", "X-Api-Key") == site.headers("/away", "X-Api-Key") == ["k"]
    assert sockets == [None]
    assert all("X-Api-Key" not in request.headers for request in other.requests)


async def test_c19_a_flood_of_cookies_is_a_page(renderer: Rendering, site: Origin) -> None:
    site.routes |= {
        "/": "<script>for (let n = 0; n < 10000; n++) document.cookie = `c${n}=${'x'.repeat(100)}`</script>"
        "<img src=/img>",
        "/img": web.Response(),
    }
    await renderer.page(site.url())
    sent = site.headers("/img", "Cookie")[0] or ""
    assert len(sent) < 64_000


async def test_f6_a_document_that_writes_without_end_is_read(renderer: Rendering, site: Origin) -> None:
    """It never rests, so it is read when it should have: as far as it has come."""
    site.routes["/"] = """<title>t</title><script>addEventListener('load', () => {
        document.open(); document.write('<title>endless</title>');
        const more = () => { document.write('<p>more'); setTimeout(more) }; more() })</script>"""
    page = await renderer.page(site.url())
    assert page.title == "endless"
    assert page.html.count("<p>more") > 10
    assert page.response.elapsed_seconds < 2 * renderer.settings.settle_seconds + 1


async def test_f13_a_miner_on_all_cores_ends_with_its_page(renderers: Renderers, site: Origin) -> None:
    site.routes |= {
        "/mine": """<script>
            for (let n = 0; n < navigator.hardwareConcurrency; n++)
              new Worker(URL.createObjectURL(new Blob(['for (;;) Math.sqrt(Math.random())'])))</script>""",
        "/quick": "<title>quick</title>",
    }
    async with renderers() as renderer:
        await renderer.page(site.url("/quick"), crawl_id="other")
        options = RenderOptions(wait_for_selector=SelectorWait("#never"))
        mining = asyncio.create_task(renderer.render(site.url("/mine"), options, deadline_seconds=5))
        process = await renderer.busy_page()
        assert (await renderer.page(site.url("/quick"), crawl_id="other")).title == "quick"
        ended = await mining
        assert isinstance(ended, Failure)
        assert ended.code is ErrorCode.TIMEOUT
        await until_dead(process)


def _listening() -> set[int]:
    """Ports that this process listens on."""
    return {
        one.laddr.port for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_LISTEN
    }
