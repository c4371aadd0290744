"""Ways out of the browser that do not ask the proxy, and addresses that the proxy must refuse."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import psutil
import pytest
from aiohttp import web

from crawler.model import ErrorCode
from tests.fetch.origins import Canary
from tests.render.conftest import Origin, Rendering, html, redirect

PRIVATE = "127.0.0.3"


@pytest.fixture
async def datagrams() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A UDP port on a private address; the test fails if anything arrives."""
    arrived: list[bytes] = []

    class Listener(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            arrived.append(data[:200])

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Listener, local_addr=(PRIVATE, 0))
    yield transport.get_extra_info("sockname")[1], arrived
    transport.close()
    assert arrived == []


async def test_a42_no_element_reaches_a_private_address(
    renderer: Rendering, site: Origin, canary: Canary
) -> None:
    there = f"http://{PRIVATE}:{canary.port}"
    site.routes["/"] = f"""<!DOCTYPE html><link rel=stylesheet href={there}/link.css>
        <style>@import '{there}/import.css'; body {{ background: url({there}/background) }}
        @font-face {{ font-family: f; src: url({there}/font) }} p {{ font-family: f }}</style>
        <p>text<img src={there}/img><img srcset='{there}/srcset 1x'>
        <picture><source srcset={there}/source><img></picture>
        <script src={there}/script.js></script><script type=module src={there}/module.js></script>
        <video src={there}/video poster={there}/poster autoplay></video><audio src={there}/audio autoplay></audio>
        <object data={there}/object></object><embed src={there}/embed><iframe src={there}/iframe></iframe>
        <svg><use href={there}/use#a></use><image href={there}/image /></svg><input type=image src={there}/input>
        <title>t</title>"""
    assert (await renderer.page(site.url())).title == "t"


async def test_a43_no_script_reaches_a_private_address(
    renderer: Rendering, site: Origin, canary: Canary
) -> None:
    there = f"http://{PRIVATE}:{canary.port}"
    site.routes |= {
        "/": f"""<script>
            const tried = [fetch('{there}', {{ mode: 'no-cors' }}).then(() => 'reached', () => 'refused')];
            const answered = (target) => new Promise((done) => {{
              target.onload = target.onmessage = () => done('reached'); target.onerror = () => done('refused') }});
            const xhr = new XMLHttpRequest();
            tried.push(answered(xhr), answered(new EventSource('{there}')));
            xhr.open('GET', '{there}'); xhr.send();
            navigator.sendBeacon('{there}', 'x');
            Promise.all(tried).then((all) => {{ document.title = all.join() }});</script>""",
        "/ping": f"<a id=a href=/next ping={there}/ping>x</a><script>a.click()</script>",
        "/next": "<title>next</title>",
    }
    assert (await renderer.page(site.url())).title == "refused,refused,refused"
    assert (await renderer.page(site.url("/ping"))).title == "next"


async def test_a44_no_redirect_of_a_sub_request_reaches_a_private_address(
    renderer: Rendering, site: Origin, canary: Canary
) -> None:
    site.routes |= {
        "/": "<img src=/away><iframe src=/away></iframe><script>fetch('/away', { mode: 'no-cors' })"
        ".catch(() => { document.title = 'refused' })</script>",
        "/away": redirect(f"http://{PRIVATE}:{canary.port}/"),
    }
    assert (await renderer.page(site.url())).title == "refused"


@pytest.mark.parametrize("host", [PRIVATE, "localhost", "[::1]", "127.0.0.5", "0.0.0.0", "x.localhost"])
async def test_a25_a47_no_navigation_reaches_a_private_address(
    renderer: Rendering, site: Origin, canary: Canary, host: str
) -> None:
    there = f"http://{host}:{canary.port}/"
    assert (await renderer.failure(there)).code is ErrorCode.BLOCKED_DESTINATION
    site.routes |= {"/http": redirect(there), "/script": f"<script>location = '{there}'</script>"}
    for path in ("/http", "/script"):
        assert (await renderer.failure(site.url(path))).code is ErrorCode.BLOCKED_DESTINATION, path


async def test_a45_no_web_socket_reaches_a_private_address(
    renderer: Rendering, site: Origin, canary: Canary
) -> None:
    sockets = f"""for (const host of ['{PRIVATE}', 'localhost', '[::1]']) {{
        new WebSocket(`ws://${{host}}:{canary.port}/`).onerror = () => tell('refused') }}"""
    site.routes |= {
        "/": f"""<script>let seen = 0; const tell = () => {{ document.title = ++seen }}; {sockets};
            new Worker('/worker.js').onmessage = tell;
            new SharedWorker('/shared.js').port.onmessage = tell;</script>""",
        "/worker.js": web.Response(
            text=f"const tell = postMessage.bind(self); {sockets}", content_type="text/javascript"
        ),
        "/shared.js": web.Response(
            text=f"onconnect = (e) => {{ const tell = (m) => e.ports[0].postMessage(m); {sockets} }}",
            content_type="text/javascript",
        ),
    }
    assert (await renderer.page(site.url())).title == "9"


async def test_a48_web_rtc_sends_nothing(
    renderer: Rendering, site: Origin, canary: Canary, datagrams: tuple[int, list[bytes]]
) -> None:
    udp, _ = datagrams
    site.routes["/"] = f"""<script>
        const calls = new RTCPeerConnection({{ iceServers: [
          {{ urls: 'stun:{PRIVATE}:{udp}' }},
          {{ urls: 'turn:{PRIVATE}:{udp}?transport=udp', username: 'u', credential: 'p' }},
          {{ urls: 'turn:{PRIVATE}:{canary.port}?transport=tcp', username: 'u', credential: 'p' }} ] }});
        calls.createDataChannel('c');
        calls.onicegatheringstatechange = () => {{ document.title = calls.iceGatheringState }};
        calls.createOffer().then((offer) => calls.setLocalDescription(offer));
        </script><img src=/slow>"""

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    site.routes["/slow"] = slow
    assert (await renderer.page(site.url())).title in ("gathering", "complete")


async def test_a49_web_transport_and_quic_send_nothing(
    renderer: Rendering, site: Origin, datagrams: tuple[int, list[bytes]]
) -> None:
    udp, _ = datagrams
    body = f"""<script>
        const tried = typeof WebTransport === 'function' ? new WebTransport('https://{PRIVATE}:{udp}/').ready : 0;
        Promise.resolve(tried).catch(() => 0).then(() => {{ document.title = 'tried' }})</script>"""
    site.routes["/"] = html(body, headers={"Alt-Svc": f'h3="{PRIVATE}:{udp}"'})
    await renderer.page(site.url())
    await renderer.page(site.url())


async def test_a50_a51_no_hint_or_report_reaches_a_private_address(
    renderer: Rendering, site: Origin, canary: Canary
) -> None:
    there = f"http://{PRIVATE}:{canary.port}"
    rels = ("dns-prefetch", "preconnect", "prefetch", "prerender", "modulepreload", "icon", "manifest")
    links = "".join(f"<link rel={rel} href={there}/{rel}>" for rel in rels)
    rules = f'{{"prefetch": [{{"urls": ["{there}/p"]}}], "prerender": [{{"urls": ["{there}/q"]}}]}}'
    site.routes["/"] = html(
        f"<title>t</title>{links}<script type=speculationrules>{rules}</script><img src=/blocked-by-policy>",
        headers={
            "Reporting-Endpoints": f'default="{there}/reports"',
            "Content-Security-Policy": f"img-src 'none'; report-uri {there}/csp",
            "Link": f"<{there}/link>; rel=preload; as=image",
        },
    )
    assert (await renderer.page(site.url())).title == "t"


async def test_a58_the_browser_listens_on_no_port(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = "<title>t</title>"
    await renderer.page(site.url())
    for process in renderer.processes():
        listening = [one for one in process.net_connections("all") if one.status == psutil.CONN_LISTEN]
        assert listening == []


async def test_a68_no_local_file_is_shown(renderer: Rendering, site: Origin) -> None:
    site.routes[
        "/"
    ] = """<title>t</title><iframe src=file:///etc/passwd></iframe><object data=file:///etc/passwd></object>
        <iframe src=view-source:file:///etc/passwd></iframe><embed src=file:///etc/passwd><script>
        fetch('file:///etc/passwd').then(r => r.text()).then(t => document.body.append(t), () => {});
        open('file:///etc/passwd'); location = 'file:///etc/passwd';</script>"""
    page = await renderer.page(site.url())
    assert page.title == "t"
    assert "root:" not in page.html


@pytest.mark.parametrize(
    "target",
    ["intent://x#Intent;end", "tel:1", "ms-msdt:x", "mailto:a@b", "view-source:http://a/", "chrome://crash"],
)
async def test_a70_other_schemes_are_ignored(renderer: Rendering, site: Origin, target: str) -> None:
    site.routes["/"] = f"<title>t</title><script>location = '{target}'</script>"
    assert (await renderer.page(site.url())).title == "t"


async def test_a73_no_file_chooser_opens(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<title>t</title><input type=file id=f><script>
        f.click(); self.showOpenFilePicker?.().catch(() => {})</script>"""
    assert (await renderer.page(site.url())).title == "t"


async def test_a53_a_connection_is_never_reused_for_another_host(
    renderer: Rendering, site: Origin, other: Origin
) -> None:
    marker = f"m{random.getrandbits(64):x}"
    site.routes["/"] = f"""<script>document.cookie = 'secret={marker}'</script>
        {"".join(f"<img src={other.url(f'/{i}')}>" for i in range(10))}<img src=/own>"""
    await renderer.page(site.url())
    assert {request.path for request in site.requests} <= {"/", "/own", "/favicon.ico"}
    assert len(other.requests) >= 10
    assert all(marker not in str(request.headers) for request in other.requests)
