"""What a rendered page is: its text and links after its scripts, its response, its redirects."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from crawler.fetch.render_options import RenderOptions, SelectorWait
from crawler.model import ErrorCode, Failure, Refusal, UrlStatus
from tests.render.conftest import DEADLINE_SECONDS, Origin, Rendering, html, redirect

#: That of `gotoOptions.timeout`, and not the one of the page as a whole, which comes later.
OWN_TIME_OUT = Failure(ErrorCode.TIMEOUT, "navigation")


async def test_f2_text_and_links_of_scripts_are_found_in_document_order(
    renderer: Rendering, site: Origin
) -> None:
    site.routes[
        "/"
    ] = """<!DOCTYPE html><title>before</title><a href=/first>1</a><main></main><a href=/last>9</a>
        <script type=module>
          const data = await (await fetch('/data')).json();
          for (const name of data) document.querySelector('main').innerHTML += `<a href="${name}">${name}</a>`;
          document.title = 'after';
        </script>"""
    site.routes["/data"] = web.json_response(["/b#part", "c?x=1", "mailto:a@b", "/b"])
    page = await renderer.page(site.url())
    assert page.title == "after"
    assert page.links == tuple(site.url(path) for path in ("/first", "/b", "/c?x=1", "/last"))
    assert page.html.startswith("<!DOCTYPE html><html>")
    assert '<a href="c?x=1">c?x=1</a>' in page.html
    assert page.browser_seconds > 0


async def test_a_page_is_at_rest_when_nothing_loads_any_more(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = "<script>fetch('/data').then(() => document.title = 'after')</script>"
    site.routes["/data"] = web.json_response([])
    answered_at_rest: list[int] = []
    await renderer.renderer.render(
        site.url(),
        crawl_id="crawl",
        options=RenderOptions(),
        deadline_seconds=DEADLINE_SECONDS,
        on_rest=lambda: answered_at_rest.append(site.count("/data")),
    )
    assert set(answered_at_rest) == {1}


async def test_the_response_of_the_document_is_told(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = html("<p>x", headers={"Last-Modified": "Sat, 01 Jan 2028 00:00:00 GMT", "X-Two": "a"})
    response = (await renderer.page(site.url())).response
    assert (response.url, response.status, response.redirects) == (site.url(), 200, ())
    assert response.headers["last-modified"] == "Sat, 01 Jan 2028 00:00:00 GMT"
    assert response.headers["content-type"].startswith("text/html")
    assert response.wire_bytes > 0


async def test_b1_an_error_page_is_rendered_with_its_status(renderer: Rendering, site: Origin) -> None:
    site.routes["/gone"] = html("<title>Gone</title><script>document.body.append('by script')</script>", 410)
    page = await renderer.page(site.url("/gone"))
    assert (page.response.status, page.title) == (410, "Gone")
    assert "by script" in page.html


@pytest.mark.parametrize("status", [404, 500])
async def test_b2_an_error_without_a_body_is_an_empty_page(
    renderer: Rendering, site: Origin, status: int
) -> None:
    site.routes["/"] = web.Response(status=status, headers={"Content-Type": "text/html"})
    page = await renderer.page(site.url())
    assert page.response.status == status
    assert page.links == ()


@pytest.mark.parametrize("status", [204, 205])
async def test_f6_no_content_is_an_empty_page(renderer: Rendering, site: Origin, status: int) -> None:
    site.routes["/"] = web.Response(status=status)
    page = await renderer.page(site.url())
    assert (page.response.status, page.html) == (status, "")


# --- redirects ------------------------------------------------------------------------------------------------


async def test_a2_redirects_by_http_are_followed_and_named(renderer: Rendering, site: Origin) -> None:
    for step, status in enumerate((301, 302, 303, 307, 308)):
        site.routes[f"/{step}"] = redirect(f"/{step + 1}", status)
    site.routes["/5"] = "<title>end</title>"
    page = await renderer.page(site.url("/0"))
    assert (page.title, page.response.url) == ("end", site.url("/5"))
    assert page.response.redirects == tuple(site.url(f"/{step}") for step in range(5))


@pytest.mark.parametrize(
    "way",
    [
        "<meta http-equiv=refresh content='0;url=/b'>",
        "<script>location.replace('/b')</script>",
        "<body onload=\"location = '/b'\">",
        "<script>setTimeout(() => { location = '/b' }, 60)</script>",
    ],
)
async def test_a15_a17_redirects_by_the_page_are_followed(
    renderer: Rendering, site: Origin, way: str
) -> None:
    async def slow(_: web.Request) -> web.Response:
        # Slower than the page needs to settle: a redirect that has begun is waited for.
        await asyncio.sleep(2.5)
        return html("<title>b</title><a href=c>c</a>", 203)

    site.routes |= {"/a": way, "/b": slow}
    page = await renderer.page(site.url("/a"))
    assert (page.title, page.response.url, page.response.status) == ("b", site.url("/b"), 203)
    assert page.response.redirects == (site.url("/a"),)
    assert page.links == (site.url("/c"),)


async def test_a17_a_new_address_by_history_is_the_same_document(renderer: Rendering, site: Origin) -> None:
    site.routes["/a/b"] = "<title>t</title><a href=c>c</a><script>history.pushState(0, '', '/x/y')</script>"
    page = await renderer.page(site.url("/a/b"))
    assert (page.response.url, page.url) == (site.url("/a/b"), site.url("/x/y"))
    assert page.links == (site.url("/x/c"),)


async def test_a3_f4_endless_redirects_end(renderer: Rendering, site: Origin) -> None:
    async def onwards(request: web.Request) -> web.Response:
        return redirect(f"/{int(request.path[1:]) + 1}")

    site.routes |= {f"/{step}": onwards for step in range(40)}
    assert (await renderer.failure(site.url("/0"))).code is ErrorCode.TOO_MANY_REDIRECTS
    assert len(site.requests) == renderer.settings.max_redirects + 1


@pytest.mark.parametrize("way", ["<script>location.reload()</script>", "<meta http-equiv=refresh content=0>"])
async def test_f4_a_page_that_reloads_itself_ends(renderer: Rendering, site: Origin, way: str) -> None:
    site.routes["/"] = way
    assert (await renderer.failure(site.url())).code is ErrorCode.TOO_MANY_REDIRECTS
    assert site.count("/") <= renderer.settings.max_redirects + 1


async def test_f4_many_states_of_history_do_no_harm(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = (
        "<title>t</title><script>for (let i = 0; i < 1000; i++) history.pushState(i, '', '?' + i)</script>"
    )
    assert (await renderer.page(site.url())).title == "t"


async def test_a5_a_redirect_to_itself_with_a_cookie_is_followed(renderer: Rendering, site: Origin) -> None:
    async def wall(request: web.Request) -> web.Response:
        return (
            html("<title>in</title>")
            if "seen" in request.cookies
            else redirect("/", headers={"Set-Cookie": "seen=1"})
        )

    site.routes["/"] = wall
    assert (await renderer.page(site.url())).title == "in"


async def test_every_document_of_the_main_frame_is_asked_for(renderer: Rendering, site: Origin) -> None:
    asked: list[str] = []

    async def on_document(url: str) -> Refusal | None:
        asked.append(url)
        return None

    site.routes |= {
        "/a": redirect("/b"),
        "/b": "<iframe src=/frame></iframe><script>location = '/c'</script>",
        "/c": "<title>c</title>",
    }
    outcome = await renderer.render(site.url("/a"), on_document=on_document)
    assert not isinstance(outcome, Failure | Refusal)
    assert asked == [site.url(path) for path in ("/a", "/b", "/c")]


@pytest.mark.parametrize("way", [redirect("/no"), "<script>location = '/no'</script>"])
async def test_a9_a_refused_redirect_is_never_requested(
    renderer: Rendering, site: Origin, way: str | web.Response
) -> None:
    refusal = Refusal(UrlStatus.DISALLOWED, "robots")

    async def on_document(url: str) -> Refusal | None:
        return refusal if url.endswith("/no") else None

    site.routes |= {"/a": way, "/no": "no"}
    assert await renderer.render(site.url("/a"), on_document=on_document) == refusal
    assert site.count("/no") == 0


@pytest.mark.parametrize("to", ["file:///etc/passwd", "data:text/html,x", "javascript:1"])
async def test_a8_a_redirect_to_another_scheme_is_an_error(
    renderer: Rendering, site: Origin, to: str
) -> None:
    site.routes["/"] = redirect(to)
    assert (await renderer.failure(site.url())).code is ErrorCode.BAD_REDIRECT


async def test_a69_a_page_that_becomes_a_blob_is_an_error(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<script>
        location = URL.createObjectURL(new Blob(['<p>blob'], { type: 'text/html' }))</script>"""
    assert (await renderer.failure(site.url())).code is ErrorCode.BAD_REDIRECT


# --- waits ----------------------------------------------------------------------------------------------------


async def test_f1_an_answer_that_takes_a_while_is_waited_for(renderer: Rendering, site: Origin) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.8)
        return web.Response(text="slow data")

    site.routes |= {
        "/": "<script>fetch('/slow').then(r => r.text()).then(t => document.title = t)</script>",
        "/slow": slow,
    }
    assert (await renderer.page(site.url())).title == "slow data"


async def test_f1_a_request_that_begins_while_the_page_is_read_is_waited_for(
    renderer: Rendering, site: Origin
) -> None:
    site.routes["/"] = """<script>
        fetch('/one').then(() => setTimeout(async () => {
          document.title = await (await fetch('/two')).text();
        }, 35))</script>"""
    site.routes["/one"] = web.Response(text="1")

    async def slowly(_: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response(text="both")

    site.routes["/two"] = slowly
    assert (await renderer.page(site.url())).title == "both"


async def test_f1_content_by_a_timer_needs_a_wait(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = "<script>setTimeout(() => document.body.innerHTML = '<p id=late>late', 3000)</script>"
    assert "late</p>" not in (await renderer.page(site.url())).html
    options = RenderOptions(wait_for_selector=SelectorWait("#late", visible=True))
    assert "late</p>" in (await renderer.page(site.url(), options, crawl_id="selector")).html
    options = RenderOptions(wait_for_timeout=timedelta(seconds=3.2))
    assert "late</p>" in (await renderer.page(site.url(), options, crawl_id="timeout")).html


async def test_f1_a_selector_that_never_comes_is_a_time_out(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = "<title>t</title><p>here"
    wait = SelectorWait("#never", timeout=timedelta(seconds=0.5))
    failure = await renderer.failure(site.url(), RenderOptions(wait_for_selector=wait))
    assert failure.code is ErrorCode.TIMEOUT
    assert failure.browser_seconds >= 0.5
    for selector in (wait, SelectorWait("a[")):
        options = RenderOptions(wait_for_selector=selector, best_attempt=True)
        assert (await renderer.page(site.url(), options)).title == "t"


@pytest.mark.parametrize(
    ("wait", "appears"),
    [
        (SelectorWait("p"), True),
        (SelectorWait("p", visible=True), False),
        (SelectorWait("p", hidden=True), True),
        (SelectorWait("none", hidden=True), True),
        (SelectorWait("b", hidden=True), False),
        # The end of a selector closes what is open.
        (SelectorWait("p[style"), True),
        (SelectorWait(":is(p"), True),
        (SelectorWait("[style='visibility: hidden"), True),
    ],
)
async def test_f1_visible_and_hidden_are_those_of_puppeteer(
    renderer: Rendering, site: Origin, wait: SelectorWait, appears: bool
) -> None:
    site.routes["/"] = "<title>t</title><p style='visibility: hidden'>p</p><b>b</b>"
    limit = timedelta(seconds=20 if appears else 0.4)
    options = RenderOptions(wait_for_selector=wait, action_timeout=limit)
    assert isinstance(await renderer.render(site.url(), options), Failure) is not appears


async def test_f12_a_document_that_never_ends_is_a_time_out(renderer: Rendering, site: Origin) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        await response.write(b"<title>so far</title><p>" + b"text " * 1000)
        await asyncio.sleep(30)
        return response

    site.routes["/"] = endless
    options = RenderOptions(goto_timeout=timedelta(seconds=1))
    assert await renderer.failure(site.url(), options) == OWN_TIME_OUT
    best = RenderOptions(goto_timeout=timedelta(seconds=1), best_attempt=True)
    assert (await renderer.page(site.url(), best, crawl_id="best")).title == "so far"


async def test_f5_a_network_that_is_never_idle_is_a_time_out(renderer: Rendering, site: Origin) -> None:
    site.routes |= {
        "/": "<script>setInterval(() => fetch('/poll'), 100)</script>",
        "/poll": web.Response(text=""),
    }
    options = RenderOptions(wait_until=("networkidle0",), goto_timeout=timedelta(seconds=2))
    assert await renderer.failure(site.url(), options) == OWN_TIME_OUT
    # By default such a page is read all the same, after a bounded time.
    await renderer.page(site.url(), crawl_id="default")


async def test_f11_an_idle_network_is_waited_for(renderer: Rendering, site: Origin) -> None:
    site.routes |= {
        "/": "<script>setTimeout(() => fetch('/a').then(() => { document.title = 'idle' }), 300)</script>",
        "/a": web.Response(text=""),
    }
    options = RenderOptions(wait_until=("load", "networkidle2"))
    assert (await renderer.page(site.url(), options)).title == "idle"


async def test_f11_open_streams_do_not_hold_a_page(renderer: Rendering, site: Origin) -> None:
    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await asyncio.sleep(30)
        return response

    site.routes |= {"/": "<script>new EventSource('/events')</script><title>t</title>", "/events": events}
    page = await renderer.page(site.url())
    assert page.response.elapsed_seconds < renderer.settings.settle_seconds + 1


async def test_f21_late_title_and_document_write(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<title>first</title><script>
        addEventListener('load', () => setTimeout(() => {
          document.open(); document.write('<title>second</title><p>written<a href=/w>w</a>'); document.close();
        }, 20))</script>"""
    page = await renderer.page(site.url())
    assert (page.title, page.links) == ("second", (site.url("/w"),))
