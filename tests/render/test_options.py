"""The render fields of a request arrive in the browser as they are named (contract A.4)."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from aiohttp import web

from crawler.fetch.render_options import Cookie, Credentials, RenderOptions, SelectorWait, Tag, Viewport
from crawler.model import ErrorCode
from crawler.patterns import BadPattern, RequestPattern
from tests.render.conftest import Origin, Rendering, html, redirect


def pattern(text: str) -> RequestPattern:
    found = RequestPattern.compile(text)
    assert not isinstance(found, BadPattern)
    return found


async def test_every_request_has_our_user_agent(renderer: Rendering, site: Origin) -> None:
    site.routes |= {
        "/": "<iframe src=/frame></iframe><script>fetch('/fetch'); new Worker('/worker.js');"
        " document.title = navigator.userAgent</script>",
        "/worker.js": web.Response(text="fetch('/by-worker')", content_type="text/javascript"),
    }
    page = await renderer.page(site.url())
    assert page.title == renderer.settings.user_agent
    assert {"/", "/frame", "/fetch", "/worker.js", "/by-worker"} <= {
        request.path for request in site.requests
    }
    assert {request.headers["User-Agent"] for request in site.requests} == {renderer.settings.user_agent}


async def test_f17_c16_extra_headers_go_to_the_own_origin_only(
    renderer: Rendering, site: Origin, other: Origin
) -> None:
    site.routes |= {
        "/": f"<img src=/own><img src={other.url('/foreign')}><img src=/away><script>location = '/leave'</script>",
        "/away": redirect(other.url("/redirected")),
        "/leave": redirect(other.url("/document")),
    }
    other.routes["/document"] = f"<title>t</title><img src={site.url('/back')}>"
    options = RenderOptions(own_origin=site.base, headers={"X-Secret": "s3cret", "Accept-Language": "de"})
    assert (await renderer.page(site.url(), options)).title == "t"
    for path in ("/", "/own", "/away", "/leave"):
        assert site.headers(path, "X-Secret")[0] == "s3cret", path
        assert site.headers(path, "Accept-Language")[0] == "de", path
    assert {request.path for request in other.requests} >= {"/document", "/redirected"}
    assert all("X-Secret" not in request.headers for request in other.requests)


async def test_f17_b15_credentials_answer_the_own_origin_only(
    renderer: Rendering, site: Origin, other: Origin
) -> None:
    expected = "Basic " + base64.b64encode(b"user:p\xc3\xa4ss").decode()

    async def guarded(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") == expected:
            return html("<title>in</title>")
        return html("<title>out</title>", 401, {"WWW-Authenticate": 'Basic realm="r", charset="UTF-8"'})

    site.routes |= {"/": guarded, "/leave": redirect(other.url())}
    other.routes["/"] = guarded
    options = RenderOptions(own_origin=site.base, credentials=Credentials("user", "päss"))
    assert (await renderer.page(site.url(), options)).title == "in"
    page = await renderer.page(site.url("/leave"), options)
    assert (page.title, page.response.status) == ("out", 401)
    assert other.headers("/", "Authorization") == [None]

    wrong = RenderOptions(own_origin=site.base, credentials=Credentials("user", "wrong"))
    assert (await renderer.page(site.url(), wrong, crawl_id="wrong")).response.status == 401
    await renderer.renderer.close_crawl("wrong")


async def test_f17_cookies_are_sent_where_they_belong(
    renderer: Rendering, site: Origin, other: Origin
) -> None:
    site.routes["/"] = "<script>document.title = document.cookie</script>"
    other.routes["/"] = "<title>other</title>"
    cookies = (
        Cookie("own", "1"),
        Cookie("hidden", "2", http_only=True),
        Cookie("path", "3", url=site.url("/elsewhere/")),
        Cookie("domain", "4", domain=other.host, path="/"),
    )
    options = RenderOptions(own_origin=site.base, cookies=cookies)
    assert (await renderer.page(site.url(), options)).title == "own=1"
    assert site.headers("/", "Cookie") == ["own=1; hidden=2"]
    assert (await renderer.page(other.url(), options)).title == "other"
    assert other.headers("/", "Cookie") == ["domain=4"]


async def test_f17_viewport_media_and_referrer(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<script>document.title = [innerWidth, innerHeight, devicePixelRatio,
        matchMedia('print').matches, document.referrer].join()</script>"""
    assert (await renderer.page(site.url())).title == "1920,1080,1,false,"
    options = RenderOptions(
        viewport=Viewport(600, 400, device_scale_factor=2.0),
        media_type="print",
        referer="http://from.test/page?x",
        referrer_policy="strict-origin",
    )
    page = await renderer.page(site.url(), options, crawl_id="other")
    assert page.title == "600,400,2,true,http://from.test/"
    await renderer.renderer.close_crawl("other")


async def test_f17_a_page_has_its_full_size_however_small_it_is_painted(
    renderer: Rendering, site: Origin
) -> None:
    site.routes["/"] = """<meta name=viewport content='width=device-width'><body style="margin: 0">
        <p id=edge style="position: absolute; right: 0; bottom: 0; width: 9px; height: 9px; margin: 0"></p>
        <script>
          const edge = document.getElementById('edge');
          new IntersectionObserver(([seen]) => requestAnimationFrame(() => {
            const box = edge.getBoundingClientRect();
            document.title = [seen.isIntersecting, screen.orientation.type, screen.width, visualViewport.scale,
              devicePixelRatio, box.right, box.bottom].join();
          })).observe(edge);
        </script>"""
    wait = SelectorWait("title:not(:empty)")
    page = await renderer.page(site.url(), RenderOptions(wait_for_selector=wait))
    assert page.title == "true,landscape-primary,1920,1,1,1920,1080"
    phone = RenderOptions(
        viewport=Viewport(390, 844, device_scale_factor=3.0, is_mobile=True, has_touch=True),
        wait_for_selector=wait,
    )
    page = await renderer.page(site.url(), phone, crawl_id="phone")
    assert page.title == "true,portrait-primary,390,1,3,390,844"
    await renderer.renderer.close_crawl("phone")


async def test_f17_tags_are_added(renderer: Rendering, site: Origin) -> None:
    site.routes |= {
        "/": "<p>x",
        "/added.js": web.Response(text="document.title += ' by url'", content_type="text/javascript"),
        "/added.css": web.Response(text="p { color: rgb(1, 2, 3) }", content_type="text/css"),
    }
    check = "document.title += ' ' + getComputedStyle(document.querySelector('p')).color"
    options = RenderOptions(
        style_tags=(Tag(url=site.url("/added.css")), Tag(content="p { left: 0 }")),
        script_tags=(
            Tag(content="document.title = 'by content'", id="mine"),
            Tag(url=site.url("/added.js"), type="text/javascript"),
            Tag(content=check),
        ),
    )
    page = await renderer.page(site.url(), options)
    assert page.title == "by content by url rgb(1, 2, 3)"
    assert '<script id="mine">' in page.html


async def test_f16_a_tag_that_does_not_load_is_an_error(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = html("<title>t</title>", headers={"Content-Security-Policy": "script-src 'none'"})
    tag = Tag(url=site.url("/added.js"))
    failure = await renderer.failure(site.url(), RenderOptions(script_tags=(tag,)))
    assert (failure.code, "added.js" in failure.detail) == (ErrorCode.PROTOCOL_ERROR, True)
    options = RenderOptions(script_tags=(tag,), best_attempt=True)
    assert (await renderer.page(site.url(), options)).title == "t"


@pytest.fixture
def rich(site: Origin) -> Origin:
    """A page with one request of many types."""
    site.routes |= {
        "/": """<title>t</title><link rel=stylesheet href=/a.css><img src=/a.png><script src=/a.js></script>
            <iframe src=/frame></iframe><video src=/a.mp4 preload=auto></video><style>@font-face {
            font-family: f; src: url(/a.woff) } p { font-family: f }</style><p>x</p><script>fetch('/fetch');
            const xhr = new XMLHttpRequest(); xhr.open('GET', '/xhr'); xhr.send();</script>""",
        "/frame": "<p>frame",
        "/a.js": web.Response(text="document.title = 'by script'", content_type="text/javascript"),
    }
    return site


async def test_f16_rejected_types_never_reach_the_origin(renderer: Rendering, rich: Origin) -> None:
    rejected = frozenset({"image", "font", "stylesheet", "media", "xhr"})
    page = await renderer.page(rich.url(), RenderOptions(reject_resource_types=rejected))
    assert page.title == "by script"
    asked = {request.path for request in rich.requests} - {"/favicon.ico"}
    assert asked == {"/", "/a.js", "/frame", "/fetch"}


async def test_f16_only_allowed_types_reach_the_origin(renderer: Rendering, rich: Origin) -> None:
    options = RenderOptions(
        allow_resource_types=frozenset({"script", "image"}), reject_resource_types=frozenset({"image"})
    )
    page = await renderer.page(rich.url(), options)
    assert page.title == "by script"
    assert {request.path for request in rich.requests} - {"/favicon.ico"} == {"/", "/a.js"}


async def test_f16_patterns_decide_on_sub_requests(renderer: Rendering, rich: Origin) -> None:
    options = RenderOptions(
        allow_patterns=(pattern(r"\.(js|png)$"), pattern("/fr[a]me")), reject_patterns=(pattern("/png$/"),)
    )
    page = await renderer.page(rich.url(), options)
    assert page.title == "by script"
    assert {request.path for request in rich.requests} == {"/", "/a.js", "/frame"}


async def test_f16_rejected_web_sockets_do_not_connect(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = "<script>new WebSocket(`ws://${location.host}/socket`)</script>"
    options = RenderOptions(
        reject_resource_types=frozenset({"websocket"}), wait_for_timeout=timedelta(seconds=0.3)
    )
    await renderer.page(site.url(), options)
    assert site.count("/socket") == 0
    await renderer.page(site.url(), crawl_id="with")
    assert site.count("/socket") == 1
    await renderer.renderer.close_crawl("with")
