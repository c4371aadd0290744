"""What the origin does at which path: the rows of the list of difficult origins, each under its own name."""

from __future__ import annotations

import asyncio
import gzip

from tests.fetch.origins import Origin, Route, page, redirect
from tests.fetch.test_http import drip, script

HTML = "Content-Type: text/html"
END = page(b"<title>end</title><p>the end<a href=/from-end>x</a>", HTML)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


def text(body: str, *headers: str, status: str = "200 OK") -> bytes:
    """An HTML page."""
    return page(body.encode(), HTML, *headers, status=status)


async def wall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await reader.read()


#: Linked from the start page. What a row needs besides is in `lay_out`.
ROWS: dict[str, Route] = {
    "/a1": redirect("/a1-end", "301 Moved"),
    "/a2": redirect("/a2-1", "301 Moved"),
    "/a3": redirect("/a3?1"),
    "/a4": redirect("/a4"),
    "/a6": redirect("{other}/a6-end"),
    "/a8-private": redirect("http://127.0.0.3:{canary}/"),
    "/a8-file": redirect("file:///etc/passwd"),
    "/a8-number": redirect("http://2130706435:{canary}/"),
    "/a8-v6": redirect("http://[::1]:{canary}/"),
    "/a9": redirect("/disallowed/x"),
    "/a10": redirect("/excluded/x"),
    "/a11/x/y": redirect("../z?q=1#frag"),
    "/a13-301": text("<title>nowhere</title>", status="301 Moved"),
    "/a13-300": text("<title>choose</title>", status="300 Multiple Choices"),
    "/a15": text("<title>a15</title><meta http-equiv=refresh content='0;url=/a15-end'>"),
    "/a33": redirect("{other}/disallowed/x"),
    "/b1-404": text("<title>gone</title><p>error text<a href=/from-error>x</a>", status="404 Not Found"),
    "/b1-500": text("<title>oops</title><p>error text", status="500 Oops"),
    "/b1-402": text("<title>pay</title>", status="402 Pay"),
    "/b1b-never": wall,
    "/b2-204": page(b"", status="204 No Content"),
    "/b2-empty": page(b"", HTML),
    "/b3": page(b"", status="304 Not Modified"),
    "/b15": text("<title>who</title>", 'WWW-Authenticate: Basic realm="r"', status="401 Who"),
    "/b16-451": text("<title>law</title>", status="451 Law"),
    "/b16-600": text("<title>odd</title>", status="600 Odd"),
    "/b22": text("<title>no bots</title>", status="403 Forbidden"),
    "/c1": drip(HEAD + b"Content-Length: 1000000\r\n\r\n", 0.2),
    "/c2": script(HEAD + b"Content-Length: 9\r\n\r\n", then_wait=True),
    "/c3": script(HEAD + b"Content-Length: 99\r\n\r\n<p>half"),
    "/c5": script(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n<p>half"),
    "/c6": page(b"4\r\nhalf\r\n0\r\n\r\n", HTML, "Transfer-Encoding: chunked"),
    "/c7-gzip": page(gzip.compress(b"<title>packed</title>"), HTML, "Content-Encoding: gzip"),
    "/c8": page(b"<title>plain</title>", HTML, "Content-Encoding: gzip"),
    "/c9": page(gzip.compress(b"<p>" + b" " * (16 << 20)), HTML, "Content-Encoding: gzip"),
    "/c11": page(b"x", HTML, *(f"X-{n}: {'a' * 10_000}" for n in range(190))),
    "/c12": page(b"<!DOCTYPE html><title>sniffed</title>"),
    "/c13": page(b"<title>no</title><a href=/from-text>x</a>", "Content-Type: text/plain"),
    "/c14-data": page(b"\x7fELF\x02\x01", "Content-Type: application/octet-stream"),
    "/c14-film": page(b"\0\0\0\x18ftypmp42", "Content-Type: video/mp4"),
    "/c14-zip": page(b"PK\x03\x04", "Content-Type: application/zip"),
    "/c15": text("<title>file</title>", "Content-Disposition: attachment; filename=x.html"),
    "/c16": page(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\0", HTML),
    "/c17": page(
        "<title>日本</title><p>田中".encode("shift_jis"), "Content-Type: text/html; charset=Shift_JIS"
    ),
    "/c18": page(b"<title>a&#xD800;b</title><p>x\0y\xff<p title=" + b"t" * 100_000 + b">z", HTML),
    "/c19": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + text("<title>hinted</title>"),
    "/c21": redirect("http://nowhere.unknown-zone.test/"),
    "/c22": script(),
    "/d1": text("<base href='/d1-base/'><base href='/no/'><a href=in-base>x</a>"),
    "/d2": text(
        "<a href=mailto:a@b.test>1</a><a href=tel:1>2</a><a href='data:text/html,x'>3</a><a href='javascript:1'>4</a>"
        "<a href=ftp://site.test/x>5</a><a href='HtTp://site.test:{port}/d2-up'>6</a>"
    ),
    "/d3": text(
        "<a href=' /d3-blank '>1</a><a href=''>2</a><a href='#'>3</a><a href='/d3-&#97;'>4</a><a>5</a>"
    ),
    "/d4": text(
        "<map><area href=/d4-area></map><iframe src=/d4-frame></iframe><form action=/d4-form><button>b</button></form>"
        "<!-- <a href=/d4-comment>x</a> --><template><a href=/d4-template>x</a></template>"
    ),
    "/d6": text("<title>d6</title><link rel=canonical href=/d6-canon>"),
    "/d7": text(
        "<a href=http://evilsite.test:{port}/d7>1</a><a href=http://site.test.evil.test/d7>2</a>"
        "<a href=http://sub.site.test:{port}/d7>3</a><a href=http://SITE.TEST:{port}/d7-same>4</a>"
    ),
    "/d12": text("".join(f"<a href='/d12-page#{n}'>x</a>" for n in range(500))),
    "/d14": text("<a href='http://user:secret@site.test:{port}/d14-secret'>x</a>"),
    "/d15": text("".join(f"<a href='/excluded/{n}'>x</a>" for n in range(5000))),
    "/e3/a/": text("<a href=a/>deeper</a>"),
    "/e9": text(f"<a href='/{'x' * 10_000}'>1</a><a href='/e9-&#x202E;\U0001f600'>2</a>"),
    "/e6": text("<a href=/disallowed/honeypot style='display:none'>x</a>"),
    "/f17": text("<base href='http://127.0.0.3:{canary}/'><a href=in-private>x</a>"),
}


def lay_out(site: Origin, other: Origin, canary: int) -> None:
    """Put every row, and what they lead to, on the origins."""
    other_base = other.url("", host="other.test")

    def filled(route: Route) -> Route:
        if not isinstance(route, bytes):
            return route
        for name, value in (("port", site.port), ("canary", canary), ("other", other_base)):
            route = route.replace(f"{{{name}}}".encode(), str(value).encode())
        head, blank, body = route.partition(b"\r\n\r\n")
        lines = [
            line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length") or b"{" in line
        ]
        if len(lines) < len(head.split(b"\r\n")) and b"103" not in head:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + blank + body

    site.routes |= {path: filled(route) for path, route in ROWS.items()}
    rules = page(b"User-agent: *\nDisallow: /disallowed/\n", "Content-Type: text/plain")
    links = "".join(f"<a href='{path}'>{path}</a>" for path in ROWS)
    site.routes |= {
        "/": text(f"<title>rows</title>{links}<a href=/a1-end>x</a>"),
        "/robots.txt": rules,
        "/a11/z?q=1": END,
        "/a15-end": text("<title>a15 end</title>"),
        "/a3?1": redirect("/a3"),
        "/nest": text("x"),
        **dict.fromkeys(("/a1-end", "/a2-5", "/d2-up", "/d3-blank", "/d3-a", "/d4-area", "/d4-frame"), END),
        **dict.fromkeys(("/d1-base/in-base", "/d6-canon", "/d7-same", "/d12-page", "/d14-secret"), END),
        **{f"/e3/{'a/' * depth}": text("<a href=a/>deeper</a>") for depth in range(2, 30)},
    }
    for step, status in enumerate(("302 Found", "303 See Other", "307 Temporary", "308 Permanent"), 1):
        site.routes[f"/a2-{step}"] = redirect(f"/a2-{step + 1}", status)
    other.routes |= {
        "/robots.txt": rules,
        "/a6-end": text("<title>off site</title><a href=/from-other>x</a>"),
    }
