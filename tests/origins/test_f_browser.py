"""Difficult origins, part F: pages that work, or fight, in a browser. Without one they are what was sent."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from crawler.errors import InvalidRequest
from crawler.model import CrawlStatus, UrlStatus
from tests.fetch.origins import PUBLIC, origin, page
from tests.fetch.test_http import script
from tests.origins.conftest import RENDERED_ONLY, Found, World
from tests.origins.site import END, Site, text
from tests.render.conftest import browsers

pytestmark = pytest.mark.slow

STREAM = script(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", then_wait=True)
XSLT = (
    "<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'><xsl:template match='/'>"
    "<html><body><p>shown</p></body></html></xsl:template></xsl:stylesheet>"
)

SITE = Site(
    rows={
        "/f1": text(
            "<title>sent</title><p id=a></p><p id=b></p><p id=c></p>"
            "<script>setTimeout(() => { a.textContent = 'by timer' });"
            "fetch('/f1-data').then(r => r.text()).then(t => { b.textContent = t });"
            "new IntersectionObserver(() => { c.textContent = 'by sight' }).observe(c)</script>"
        ),
        "/f2": text("<p id=p></p><script>p.innerHTML = '<a href=/f2-' + 'end>x</a>'</script>"),
        "/f3": text(
            "<div><template shadowrootmode=open><p>declared<a href=/f3-declared>x</a></p></template></div>"
            "<div id=made></div><script>made.attachShadow({ mode: 'open' }).innerHTML ="
            " '<p>attached<a href=/f3-' + 'attached>x</a>'</script>"
        ),
        "/f4": text(
            "<title>f4</title><iframe src=/f4-same></iframe><iframe src='{other}/f4'></iframe>"
            "<iframe srcdoc='<p>inside'></iframe><iframe sandbox src=/f4-sandboxed></iframe>"
        ),
        "/f5": text(
            "<title>sent</title><script>onbeforeunload = () => 'stay'; for (let i = 0; i < 20; i++) {"
            "alert(i); confirm(i); prompt(i); open('/f5-popup') } print(); window.close();"
            "document.title = 'run'</script>"
        ),
        "/f6": text("<title>f6</title><a id=a href=/f6.zip download>x</a><script>a.click()</script>"),
        "/f9": text(
            "<title>f9</title><img loading=lazy src=/f9.png><div id=list></div><p id=end></p><script>let n = 0;"
            "const more = () => { for (let i = 0; i < 20; i++) list.append(Object.assign(document.createElement('p'),"
            "{ textContent: `item ${n++}`, style: 'height: 100px' })) };"
            "new IntersectionObserver(seen => seen.some(one => one.isIntersecting) && more()).observe(end);"
            "addEventListener('scroll', more); more()</script>"
        ),
        "/f9-endless": text(
            "<title>f9</title><script>setInterval(() => document.body.append(document.createElement('p')), 5)</script>"
        ),
        "/f10": text(
            "<title>sent</title><script>for (let i = 0; i < 10000; i++) setTimeout(() => {}, i % 50);"
            "for (let i = 0; i < 8; i++) new Worker(URL.createObjectURL(new Blob(['postMessage(1)'])));"
            "document.createElement('canvas').getContext('webgl');"
            "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])); document.title = 'run'</script>"
        ),
        "/f11": text(
            "<title>f11</title><script>setInterval(() => fetch('/f1-data'), 200); new EventSource('/f11-stream');"
            "new WebSocket(`ws://${location.host}/f11-socket`)</script>"
        ),
        "/f12": text(
            "<title>f12</title><link rel=stylesheet href=/f12-never><body><p>text<img src=/f12-never>"
        ),
        "/f13": text(
            "<title>sent</title><script>for (let i = 0; i < 5000; i++) console.log(i);"
            "for (let i = 0; i < 50; i++) Promise.reject(new Error('x')); document.title = 'run';"
            "navigator.webdriver; throw new Error('end')</script>",
            "Content-Security-Policy: default-src 'self' 'unsafe-inline'",
        ),
        "/f15": text(
            "<title>f15</title><img src=http://127.0.0.3:{canary}/><iframe src=http://127.0.0.5:{canary}/></iframe>"
            "<link rel=dns-prefetch href=//redis/><script>fetch('http://127.0.0.3:{canary}/').catch(() => 0);"
            "fetch('http://169.254.169.254/').catch(() => 0); fetch('file:///etc/passwd').catch(() => 0);"
            "new WebSocket('ws://[::1]:{canary}/')</script>"
        ),
        "/f18": text("<a href='#/a'>1</a><a href='#/b'>2</a><a href='/f18#/c'>3</a><a>4</a>"),
        "/f19": text(
            "<p id=p></p><script>fetch('/disallowed/api').then(r => r.text()).then(t => p.append(t))</script>"
        ),
        "/f20": text(
            "<title>f20</title><frameset cols='50%,*'><frame src=/f20-left><frame src=/f20-right></frameset>"
        ),
        "/f21": text(
            "<title>sent</title><script>addEventListener('load', () => setTimeout(() => { document.open();"
            "document.write('<title>run</title><p>written'); document.close() }, 20))</script>"
        ),
        "/f22-xhtml": page(
            b"<html xmlns='http://www.w3.org/1999/xhtml'><head><title>xhtml</title></head><body><p>shown</p></body></html>",
            "Content-Type: application/xhtml+xml",
        ),
        "/f22-svg": page(
            b"<svg xmlns='http://www.w3.org/2000/svg'><text>shown</text></svg>", "Content-Type: image/svg+xml"
        ),
        "/f22-xml": page(
            b"<?xml version='1.0'?><?xml-stylesheet type='text/xsl' href='/f22.xsl'?><a>shown</a>",
            "Content-Type: text/xml",
        ),
        "/f22-json": page(b'{"a": "shown"}', "Content-Type: application/json"),
        "/f22-text": page(b"shown", "Content-Type: text/plain"),
    },
    more={
        "/f1-data": page(b"by fetch", "Content-Type: text/plain"),
        "/f11-stream": STREAM,
        "/f12-never": script(then_wait=True),
        "/disallowed/api": page(b"by interface", "Content-Type: text/plain"),
        "/f6.zip": page(b"PK\x03\x04", "Content-Type: application/zip"),
        "/f22.xsl": page(XSLT.encode(), "Content-Type: text/xsl"),
        **dict.fromkeys(("/f2-end", "/f3-declared", "/f3-attached", "/f4-same", "/f4-sandboxed"), END),
        **dict.fromkeys(("/f20-left", "/f20-right"), END),
    },
)


def test_the_crawl_ends_and_counts_every_page(found: Found) -> None:
    assert found.view.status is CrawlStatus.COMPLETED
    assert found.view.total == found.view.finished
    assert found.view.queued == found.view.cancelled == 0


def test_every_page_that_is_there_is_completed(found: Found) -> None:
    lost = {path for path, record in found.records.items() if record.status is UrlStatus.ERRORED}
    assert lost == {"/from-end", "/f6.zip"}


def test_origin_f1_what_comes_by_itself_is_waited_for(found: Found) -> None:
    for content in ("by timer</p>", "by fetch</p>", "by sight</p>"):
        assert (content in (found["/f1"].html or "")) == found.render


def test_origin_f2_links_of_scripts_are_found_where_scripts_run(found: Found) -> None:
    assert ("/f2-end" in found.records) == found.render


def test_origin_f3_open_shadow_trees_are_text_and_links(found: Found) -> None:
    markdown = found["/f3"].markdown or ""
    assert "declared[x](" in markdown
    assert found["/f3-declared"].status is UrlStatus.COMPLETED
    assert ("attached[x](" in markdown) == found.render
    assert ("/f3-attached" in found.records) == found.render


def test_origin_f4_frames_are_pages_of_their_own(found: Found) -> None:
    assert found["/f4"].title == "f4"
    for path in ("/f4-same", "/f4-sandboxed"):
        assert (found[path].status, found[path].title) == (UrlStatus.COMPLETED, "end")
    assert found[found.world.other.url("/f4", host="other.test")].status is UrlStatus.SKIPPED


@pytest.mark.parametrize("path", ["/f5", "/f10", "/f13", "/f21"])
def test_origin_f5_f10_f13_f21_noisy_pages_run_to_their_end(found: Found, path: str) -> None:
    assert found[path].title == ("run" if found.render else "sent")
    assert "/f5-popup" not in found.asked


def test_origin_f6_a_download_leaves_its_page(found: Found) -> None:
    assert found["/f6"].title == "f6"
    assert found["/f6.zip"].status is UrlStatus.ERRORED
    assert found["/f6.zip"].reason in {"download", "unsupported_content"}


def test_origin_f9_the_first_screen_is_there(found: Found) -> None:
    assert ("item 0</p>" in (found["/f9"].html or "")) == found.render
    assert (found["/f9"].title, found["/f9-endless"].title) == ("f9", "f9")


@pytest.mark.parametrize("path", ["/f11", "/f12"])
def test_origin_f11_f12_what_never_comes_to_rest_is_read_all_the_same(found: Found, path: str) -> None:
    assert found[path].title == path[1:]


def test_origin_f15_nobody_met_the_canary(found: Found) -> None:
    assert found.world.canary.hits == []
    assert found["/f15"].title == "f15"


def test_origin_f18_routes_behind_a_hash_are_one_document(found: Found) -> None:
    assert [path for path in found.records if path.startswith("/f18")] == ["/f18"]
    assert found.asked.count("/f18") == 1


def test_origin_f19_robots_txt_decides_on_pages_and_not_on_what_they_load(found: Found) -> None:
    assert ("by interface</p>" in (found["/f19"].html or "")) == found.render
    assert "/disallowed/api" not in found.records


def test_origin_f20_frames_of_a_frameset_are_found(found: Found) -> None:
    assert found["/f20"].title == "f20"
    assert "<frameset" in (found["/f20"].html or "")
    for path in ("/f20-left", "/f20-right"):
        assert found[path].status is UrlStatus.COMPLETED


@pytest.mark.parametrize("kind", ["xhtml", "svg", "xml", "json", "text"])
def test_origin_f22_other_types_are_pages_or_documents(found: Found, kind: str) -> None:
    record = found[f"/f22-{kind}"]
    assert (record.status, record.http_status) == (UrlStatus.COMPLETED, 200)
    assert kind == "svg" or "shown" in (record.markdown or "")
    assert bool(record.html) == (kind == "xhtml")


async def test_origin_f16_f17_what_a_browser_is_told_needs_a_browser(world: World, render: bool) -> None:
    fields: dict[str, object] = {
        "rejectResourceTypes": ["image"],
        "rejectRequestPattern": ["/^.*refused.*$/"],
        "setExtraHTTPHeaders": {"X-Own": "1"},
        "cookies": [{"name": "own", "value": "2"}],
        "viewport": {"width": 640, "height": 480},
        "addScriptTag": [{"content": "document.title = innerWidth"}],
    }
    world.site.heads.clear()
    world.site.routes["/f16"] = text(
        "<img src=/f16.png><script src=/f16-refused.js></script><iframe src=/f16-frame>"
    )
    world.site.routes["/f16-frame"] = END
    if not render:
        with pytest.raises(InvalidRequest):
            await world.crawl("/f16", render=False, **fields)
        return
    _, records = await world.crawl("/f16", "h2.site.test", render=True, limit=1, source="links", **fields)
    assert records["/f16"].title == "640"
    assert not {"/f16.png", "/f16-refused.js"} & set(world.site.paths)
    (sent,) = (head for head in world.site.heads if head.startswith(b"GET /f16 "))
    assert b"X-Own: 1" in sent
    assert b"Cookie: own=2" in sent


@RENDERED_ONLY
async def test_the_time_of_pages_that_fail_counts(world: World, render: bool) -> None:
    world.site.routes["/waits"] = END
    view, records = await world.crawl(
        "/waits", render=render, limit=1, waitForSelector={"selector": "#never", "timeout": 700}
    )
    assert records["/waits"].reason == "timeout"
    assert view.browser_seconds >= 0.7


@RENDERED_ONLY
async def test_origin_f14_a_killed_browser_costs_no_page(world: World, render: bool) -> None:
    """Several pages are in it, so nobody knows whose fault that was: none loses its attempt, and each is there once."""
    arrived = asyncio.Event()
    is_open = asyncio.Event()
    names = [f"/{number}" for number in range(4)]

    async def gate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if sum(path.startswith("/gate") for path in site.paths) >= len(names):
            arrived.set()
        await is_open.wait()
        writer.write(page(b"document.title = 'in'", "Content-Type: text/javascript"))
        await writer.drain()

    async with origin(PUBLIC) as site:
        links = "".join(f"<a href={name}>x</a>" for name in names)
        site.routes |= {"/": text(links), "/robots.txt": page(b"")}
        # A browser asks for one address once at a time, so each has its own.
        site.routes |= {name: text(f"<script src=/gate{name}></script>") for name in names}
        site.routes |= {f"/gate{name}": gate for name in names}
        crawl_id = await world.engine.start(
            site.url(host="h3.site.test"), render=render, source="links", formats=["html"], maxAge=0
        )
        await asyncio.wait_for(arrived.wait(), 30)
        killed = browsers()
        assert killed
        for browser in killed:
            browser.kill()
        psutil.wait_procs(killed, 10)
        is_open.set()
        view = await world.engine.wait(crawl_id)
        records = await world.engine.records(crawl_id)
    assert (view.status, view.completed, view.total) == (CrawlStatus.COMPLETED, 5, 5)
    assert [record.title for record in records] == ["", "in", "in", "in", "in"]
