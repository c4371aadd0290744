"""Reading a document: shadow trees, frames, odd types, and pages that fight back."""

from __future__ import annotations

import pytest
from aiohttp import web

from crawler.fetch.render_options import RenderOptions
from crawler.model import ErrorCode, Failure, Rendered
from tests.render.conftest import Origin, Renderers, Rendering, html


async def test_f3_open_and_declarative_shadow_trees_are_in_html_and_links(
    renderer: Rendering, site: Origin
) -> None:
    site.routes["/"] = """<!DOCTYPE html><html lang=en><body><a href=/1>1</a>
        <div id=declared><template shadowrootmode=open><a href=/2>declared text</a></template></div>
        <div id=made></div><a href=/4>4</a>
        <script>made.attachShadow({ mode: 'open' }).innerHTML = '<p>made text<a href=/3>3</a>'</script>"""
    page = await renderer.page(site.url())
    assert page.links == tuple(site.url(path) for path in ("/1", "/2", "/3", "/4"))
    assert page.html.startswith('<!DOCTYPE html><html lang="en"><head>')
    assert page.html.endswith("</html>")
    assert "declared text" in page.html
    assert '<template shadowrootmode="open"><p>made text' in page.html


async def test_f4_frames_are_links_and_those_of_the_same_origin_are_looked_into(
    renderer: Rendering, site: Origin, other: Origin
) -> None:
    site.routes |= {
        "/": f"""<title>t</title><base href=/base/><iframe src=/same></iframe>
            <iframe src={other.url("/foreign")}></iframe>
            <iframe srcdoc='<a href=in-srcdoc>x</a>'></iframe><iframe sandbox src=/sandboxed></iframe>""",
        "/same": "<base href=/elsewhere/><a href=in-same>x</a>",
        "/sandboxed": "<a href=/in-sandboxed>x</a>",
    }
    other.routes["/foreign"] = "<a href=/in-foreign>x</a>"
    page = await renderer.page(site.url())
    assert page.title == "t"
    assert page.links == (
        site.url("/same"),
        site.url("/elsewhere/in-same"),
        other.url("/foreign"),
        site.url("/base/in-srcdoc"),
        site.url("/sandboxed"),
    )


async def test_f20_the_frames_of_a_frameset_are_links(renderer: Rendering, site: Origin) -> None:
    site.routes |= {"/": "<frameset cols=50%,*><frame src=/l><frame src=/r></frameset>", "/l": "l", "/r": "r"}
    page = await renderer.page(site.url())
    assert page.links == (site.url("/l"), site.url("/r"))
    assert "<frameset" in page.html


async def test_f4_fifty_nested_frames_do_not_hold_a_page(renderer: Rendering, site: Origin) -> None:
    async def nested(request: web.Request) -> web.Response:
        depth = int(request.query.get("d", "0"))
        return html(f"<title>t</title><iframe src='/?d={depth + 1}'></iframe>" if depth < 50 else "end")

    site.routes["/"] = nested
    assert (await renderer.page(site.url())).title == "t"


async def test_d3_d4_what_counts_as_a_link(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<link rel=canonical href=/canon><link rel=stylesheet href=/no.css>
        <a href=' /blank '>1</a><a href=''>self</a><a>none</a><a href='http://['>bad</a><a href=HtTp://X.test/a#f>up</a>
        <a href='javascript:1'>js</a><map><area href=/area></map><svg><a xlink:href=/svg><text>s</text></a></svg>
        <!-- <a href=/comment>c</a> --><template><a href=/template>t</a></template><form action=/form></form>"""
    page = await renderer.page(site.url())
    expected = (site.url("/canon"), site.url("/blank"), site.url("/"), "http://x.test/a", site.url("/area"))
    assert page.links == (*expected, site.url("/svg"))


async def test_f9_a_page_that_shadows_and_patches_everything_is_read_all_the_same(
    renderer: Rendering, site: Origin
) -> None:
    site.routes["/"] = """<!DOCTYPE html><title>real</title>
        <form id=documentElement name=documentElement><input name=outerHTML><input name=nodeType><input name=localName>
        <input name=getAttribute><input name=shadowRoot><input name=nextSibling></form>
        <img name=title><img name=createTreeWalker><img name=doctype><embed name=documentElement>
        <a href=/link>link</a><constructor></constructor><__proto__></__proto__>
        <script>
          JSON.stringify = () => '"patched"'; Array.prototype.map = () => [];
          Object.prototype.then = (done) => done('patched');
          Object.defineProperty(Element.prototype, 'outerHTML', { get() { throw new Error('patched') } });
          Object.defineProperty(HTMLAnchorElement.prototype, 'href', { get() { for (;;); } });
          Document.prototype.querySelectorAll = () => new Array(1e6).fill({ href: 'http://patched/' });
          window.URL = window.Set = window.Promise = window.MutationObserver = undefined;
        </script>"""
    page = await renderer.page(site.url())
    assert (page.title, page.links) == ("real", (site.url("/link"),))
    assert "patched" in page.html
    assert '<input name="outerHTML">' in page.html


async def test_f9_the_page_sees_nothing_of_ours(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<script>
        const usual = new Set(Object.getOwnPropertyNames(document.createElement('iframe').constructor.prototype));
        addEventListener('load', () => setTimeout(() => {
          document.title = Object.getOwnPropertyNames(window).filter(n => /playwright|crawl|pptr|cdc_/i.test(n)).join();
        }, 20))</script>"""
    assert (await renderer.page(site.url())).title == ""


async def test_f17_a_long_title_is_cut(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = "<script>document.title = 'x'.repeat(1 << 20)</script>"
    assert len((await renderer.page(site.url())).title) == 1024


async def test_c18_no_half_characters_and_no_nul_come_out(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = r"""<p id=p></p><script>
        document.title = 'a\ud800b'; p.textContent = 'x\0y\udfff'; p.title = '\ud83d\ude00'</script>"""
    page = await renderer.page(site.url())
    assert page.title == "a\ufffdb"
    assert "x\ufffdy\ufffd</p>" in page.html
    assert 'title="\U0001f600"' in page.html
    page.html.encode()


async def test_f16_a_strict_content_security_policy_does_not_stop_reading(
    renderer: Rendering, site: Origin
) -> None:
    policy = {"Content-Security-Policy": "default-src 'none'; sandbox; require-trusted-types-for 'script'"}
    site.routes["/"] = html("<title>t</title><a href=/x>x</a>", headers=policy)
    page = await renderer.page(site.url())
    assert (page.title, page.links) == ("t", (site.url("/x"),))


async def test_without_scripts_the_document_is_as_it_was_sent(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = """<title>sent</title><noscript><a href=/noscript>n</a></noscript>
        <script>document.title = 'changed'</script>"""
    page = await renderer.page(site.url(), RenderOptions(javascript=False))
    assert (page.title, page.links) == ("sent", (site.url("/noscript"),))


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (
            "application/xhtml+xml",
            '<html xmlns="http://www.w3.org/1999/xhtml"><body>hello</body></html>',
            "hello",
        ),
        ("application/xml", "<a><b>hello</b></a>", "hello"),
        ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg"><text>hello</text></svg>', "hello"),
        ("application/json", '{"a": "hello"}', "hello"),
        ("text/plain", "hello <b>not bold", "hello &lt;b&gt;"),
    ],
)
async def test_f22_texts_of_other_types_are_read(
    renderer: Rendering, site: Origin, kind: str, body: str, text: str
) -> None:
    site.routes["/"] = web.Response(text=body, content_type=kind)
    assert text in (await renderer.page(site.url())).html


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/pdf", b"%PDF-1.4\n%%EOF"),
        ("application/zip", b"PK\x03\x04"),
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("video/mp4", b"\0\0\0\x18ftypmp42"),
        ("application/octet-stream", b"\x7fELF"),
        ("application/vnd.ms-powerpoint", b"\xd0\xcf\x11\xe0"),
    ],
)
async def test_c14_f6_files_are_no_pages(renderer: Rendering, site: Origin, kind: str, body: bytes) -> None:
    site.routes["/"] = web.Response(body=body, content_type=kind)
    assert await renderer.render(site.url()) == Failure(ErrorCode.UNSUPPORTED_CONTENT, kind, media_type=kind)


async def test_c15_an_attachment_is_a_download(renderer: Rendering, site: Origin) -> None:
    site.routes["/"] = html("<p>x", headers={"Content-Disposition": "Attachment; filename=x.html"})
    assert await renderer.render(site.url()) == Failure(
        ErrorCode.DOWNLOAD, "text/html", media_type="text/html"
    )


async def test_f6_a_download_by_script_leaves_the_page(renderer: Rendering, site: Origin) -> None:
    site.routes |= {
        "/": "<title>t</title><a id=a href=/file download>x</a><script>a.click(); location = '/file'</script>",
        "/file": web.Response(body=b"PK", content_type="application/zip"),
    }
    assert (await renderer.page(site.url())).title == "t"


# --- limits ---------------------------------------------------------------------------------------------------


@pytest.fixture
def many_nodes(site: Origin) -> str:
    site.routes["/"] = """<title>t</title><body><script>
        const all = document.createDocumentFragment();
        for (let i = 0; i < 20000; i++) all.append(document.createElement('i'));
        document.body.append(all);</script>"""
    return site.url()


async def test_d20_f10_a_page_over_a_limit_is_not_read(
    renderers: Renderers, site: Origin, many_nodes: str
) -> None:
    site.routes |= {
        "/text": "<body><script>document.body.append('x'.repeat(3e6))</script>",
        "/attribute": "<body><script>document.body.title = 'x'.repeat(3e6)</script>",
        "/wide": "<body><script>document.body.append('\u20ac'.repeat(5e5))</script>",
        "/deep": """<body><script>let at = document.body;
            for (let i = 0; i < 2000; i++) at = at.appendChild(document.createElement('b'))</script>""",
        "/links": """<body><script>document.body.innerHTML =
            Array.from({ length: 5000 }, (_, i) => `<a href=${i}>x</a>`).join('')</script>""",
    }
    async with renderers(max_dom_nodes=18_000, max_html_bytes=1 << 20, max_links_per_page=7) as renderer:
        assert (await renderer.failure(many_nodes)).code is ErrorCode.DOM_TOO_LARGE
        for path in ("/text", "/attribute", "/wide"):
            assert (await renderer.failure(site.url(path))).code is ErrorCode.DOM_TOO_LARGE, path
        assert isinstance(await renderer.render(site.url("/deep")), Rendered)
        assert len((await renderer.page(site.url("/links"))).links) == 7


async def test_a56_a_page_with_too_much_traffic_is_stopped(renderers: Renderers, site: Origin) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))

    site.routes |= {
        "/bytes": "<script>fetch('/endless').then(r => r.arrayBuffer())</script>",
        "/endless": endless,
        "/requests": "<script>for (let i = 0; i < 300; i++) fetch('/small?' + i)</script>",
        "/small": web.Response(text="x"),
    }
    async with renderers(max_page_bytes=1 << 20, max_page_requests=100) as renderer:
        for path in ("/bytes", "/requests"):
            assert (await renderer.failure(site.url(path))).code is ErrorCode.TOO_LARGE, path
        assert site.count("/small") <= 110
