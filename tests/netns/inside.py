"""A program for `unshare`: what happens in a network of its own, with the rules of production, as JSON on stdout.

Inside, the forbidden addresses and three public ones are this machine's. So whatever gets through the rules meets the
canary, which listens on every address, and never another machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Error, async_playwright

from crawler import urls
from crawler.fetch import chromium
from crawler.fetch.egress import Egress
from crawler.fetch.http import HttpFetcher
from crawler.fetch.proxy import EgressProxy
from crawler.fetch.render_options import RenderOptions, SelectorWait
from crawler.fetch.renderer import Renderer
from crawler.model import CrawlStatus, Failure, Response
from crawler.options import parse_options
from crawler.runtime import Runtime
from crawler.settings import Settings
from tests.fetch.test_addresses import BLOCKED
from tests.netns import dns

PUBLIC = ("93.184.216.34", "93.184.216.35", "2606:4700::1111")
FORBIDDEN_V4 = (
    "10.0.0.5", "172.16.0.5", "172.31.255.5", "192.168.1.5", "169.254.169.254", "169.254.1.1", "100.64.0.5",
    "100.100.100.200", "192.0.0.192", "198.18.0.5", "168.63.129.16",
)  # fmt: skip
FORBIDDEN_V6 = (
    "fd00:ec2::254", "fec0::5", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:5", "2002:a00:5::", "::a00:5", "5f00::5",
)  # fmt: skip
UDP_PORT = 3478
#: A network interface that leads nowhere, where the machine allows one to be made.
INTERFACE = "nowhere0"
#: Everything that a literal URL of the attack tables names with port 80, and what is only local here.
TARGETS = (
    "10.0.0.5",
    "169.254.169.254",
    "169.254.1.1",
    "192.168.1.5",
    "[fd00:ec2::254]",
    "localhost",
    "0.0.0.0",
)


@dataclass
class World:
    """An origin on the public addresses; whoever reaches another one is a hit."""

    pages: dict[str, str] = field(default_factory=dict)
    hits: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = writer.get_extra_info("sockname")[0].removeprefix("::ffff:")
        if here not in PUBLIC:
            self.hits.append(f"TCP {here}")
        with suppress(OSError, asyncio.IncompleteReadError):
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            self.requests.append(path)
            body = self.pages.get(path, "").encode()
            status = "200 OK" if body else "404 Not Found"
            kind = "application/xml" if path.endswith(".xml") else "text/html"
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Listeners on port 80 and one of UDP, on every address there is."""
    made = World()

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            made.hits.append("UDP")

    loop = asyncio.get_running_loop()
    servers = [await asyncio.start_server(made.serve, host, 80) for host in ("0.0.0.0", "::")]
    transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("0.0.0.0", UDP_PORT))
    try:
        yield made
    finally:
        transport.close()
        for server in servers:
            server.close()


def settings(**given: object) -> Settings:
    """Those of production, but for what a test machine needs."""
    return Settings.load(allow_unsandboxed=os.geteuid() == 0, default_delay=0.0, **given)


async def verdict(fetcher: HttpFetcher, url: str) -> str:
    """`fetched`, or the error's code."""
    answer = await fetcher.fetch(url)
    if isinstance(answer, Response):
        return "fetched"
    assert isinstance(answer, Failure)
    return answer.code


async def fetch_literals(found: World) -> dict[str, str]:
    """Every literal of the attack tables, and the public ones, fetched as a page would be."""
    found.pages["/"] = "<title>public</title>"
    addresses = [url for case in BLOCKED.values() for url in case]
    addresses += [f"http://{host}/" for host in (*FORBIDDEN_V4, *(f"[{host}]" for host in FORBIDDEN_V6))]
    addresses += [f"http://{PUBLIC[0]}/", f"http://[{PUBLIC[2]}]/"]
    egress = Egress(settings())
    verdicts = {}
    try:
        async with HttpFetcher(egress, settings()) as fetcher:
            for url in addresses:
                parsed = urls.parse(url, max_chars=8192)
                assert isinstance(parsed, urls.Url)
                verdicts[url] = await verdict(fetcher, parsed.href)
    finally:
        egress.close()
    return verdicts


async def fetch_names() -> dict[str, str]:
    """Names as a real name server answers for them."""
    egress = Egress(settings())
    verdicts = {}
    try:
        async with HttpFetcher(egress, settings()) as fetcher:
            for name in dns.ZONE:
                verdicts[name] = await verdict(fetcher, f"http://{name}/")
    finally:
        egress.close()
    return verdicts


async def crawl(found: World, *, render: bool) -> dict[str, list[str]]:
    """A crawl of a page and a sitemap that name all of them: status and reason by URL."""
    start = f"http://{PUBLIC[0]}/"
    linked = [
        url for case in BLOCKED.values() for url in (case[:1] if render else case) if "site.test" not in url
    ]
    locs = [f"http://{host}/in-sitemap" for host in (FORBIDDEN_V4[:3] if render else FORBIDDEN_V4)]
    found.pages |= {
        "/": "<title>t</title>" + "".join(f"<a href='{url}'>x</a>" for url in linked),
        "/sitemap.xml": "<urlset>" + "".join(f"<url><loc>{loc}</loc></url>" for loc in locs) + "</urlset>",
    }
    fields = {"url": start, "render": render, "limit": 200, "options": {"includeExternalLinks": True}}
    with TemporaryDirectory() as folder:
        async with Runtime(settings(data_dir=Path(folder), tick_seconds=0.2, max_attempts=1)) as runtime:
            stop = asyncio.Event()
            work = asyncio.create_task(runtime.work(stop))
            options = parse_options(fields, now=datetime.now(UTC))
            crawl_id = await runtime.service.create("local", options)
            async with asyncio.timeout(60):
                while True:
                    page = await runtime.service.read("local", crawl_id, limit=1000)
                    if page.crawl.status is not CrawlStatus.RUNNING:
                        break
                    await asyncio.sleep(0.05)
            stop.set()
            await work
    return {record.url: [record.status, record.reason] for record in page.records}


def hostile(targets: Sequence[str]) -> str:
    """A page that tries the ways out of a browser, and says in its title when it has."""
    elements = "".join(
        f"<link rel=stylesheet href=http://{host}/c><link rel=prefetch href=http://{host}/f>"
        f"<link rel=preconnect href=http://{host}/><img src=http://{host}/i><iframe src=http://{host}/f></iframe>"
        f"<script src=http://{host}/s></script><object data=http://{host}/o></object><video src=http://{host}/v></video>"
        for host in targets
    )
    return f"""<!DOCTYPE html><link rel=dns-prefetch href=//leak.public.test/>
        <link rel=preconnect href=http://leak.public.test/>{elements}<script>
        const soon = (p) => Promise.race([p.catch(() => 0), new Promise((done) => setTimeout(done, 500))]);
        const tried = {json.dumps(targets)}.flatMap((host) => [
          fetch(`http://${{host}}/fetch`, {{ mode: 'no-cors' }}),
          new Promise((done) => {{ const s = new WebSocket(`ws://${{host}}/`); s.onopen = s.onerror = done }}),
        ]);
        navigator.sendBeacon(`http://{targets[0]}/beacon`);
        const calls = new RTCPeerConnection({{ iceServers: [
          {{ urls: 'stun:{targets[0]}:{UDP_PORT}' }}, {{ urls: 'stun:stun.public.test:{UDP_PORT}' }},
          {{ urls: 'turn:{targets[0]}:80?transport=tcp', username: 'u', credential: 'p' }} ] }});
        calls.createDataChannel('c');
        const gathered = new Promise((done) => {{
          calls.onicegatheringstatechange = () => calls.iceGatheringState === 'complete' && done() }});
        calls.createOffer().then((offer) => calls.setLocalDescription(offer));
        if (typeof WebTransport === 'function') tried.push(new WebTransport('https://{targets[0]}:{UDP_PORT}/').ready);
        Promise.all([...tried, gathered].map(soon)).then(() => {{
          document.title = 'tried'; document.documentElement.id = 'tried' }});</script>"""


async def render_hostile(found: World) -> str:
    """The page in our browser: its title."""
    found.pages["/"] = hostile(TARGETS)
    chosen = settings()
    egress = Egress(chosen)
    try:
        async with Renderer(EgressProxy(egress, chosen), chosen) as renderer:
            page = await renderer.render(
                f"http://{PUBLIC[0]}/",
                crawl_id="x",
                options=RenderOptions(wait_for_selector=SelectorWait("#tried")),
                deadline_seconds=40,
            )
            return getattr(page, "title", str(page))
    finally:
        egress.close()


async def render_without_defences() -> str:
    """The same page in a Chromium that has none of our switches and no proxy; its title."""
    chosen = settings()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=chromium.find_chromium(chosen), chromium_sandbox=chromium.has_sandbox(chosen)
        )
        page = await browser.new_page()
        await page.set_content(hostile(TARGETS), wait_until="commit")
        with suppress(Error):
            await page.wait_for_function("document.title === 'tried'", timeout=20_000)
        title = await page.title()
        await browser.close()
    return title


async def main() -> Mapping[str, object]:
    facts: dict[str, object] = {}
    async with world() as found, dns.serving() as asked:
        facts["literals"] = await fetch_literals(found)
        facts["names"] = await fetch_names()
        facts["names_asked"] = sorted(asked)
        asked.clear()
        for render in (False, True):
            facts[f"crawl_{render}"] = await crawl(found, render=render)
        facts["rendered"] = await render_hostile(found)
        facts["names_asked_by_the_browser"] = sorted(asked)
        facts["hits"], found.hits = found.hits, []
        facts["has_interface"] = INTERFACE in {name for _, name in socket.if_nameindex()}
        # From here on the canary is expected to be hit: without it, silence would prove nothing.
        facts["unprotected"] = await render_without_defences()
        facts["unprotected_hits"], found.hits = sorted(set(found.hits)), []
        jailed = subprocess.run(
            ["unshare", "--net", sys.executable, "-m", "tests.netns.inside", "jailed"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        facts["jailed"] = jailed.stdout.strip() or jailed.stderr[-500:]
        facts["jailed_hits"] = found.hits
    return facts


if __name__ == "__main__":
    if sys.argv[1:] == ["jailed"]:
        sys.stdout.write(asyncio.run(render_without_defences()))
    else:
        sys.stdout.write(json.dumps(asyncio.run(main())))
