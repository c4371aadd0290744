"""Pages made to burst a renderer: images, drawings, fonts, styles, films (attack case F11). They cost themselves."""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from collections.abc import Iterator

import pytest
from aiohttp import web

from crawler.model import ErrorCode, Failure, Rendered
from tests.render.conftest import Origin, Renderers

DEADLINE_SECONDS = 3.0
#: An image that nobody looks at would not be unpacked.
DRAWN = """<canvas id=c></canvas><script>
    const draw = (image) => c.getContext('2d').drawImage(image, 0, 0, 300, 150)</script>"""
QUICK = "<title>quick</title><body><script>document.body.append('by script')</script>"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file (RFC 2083, 3.2)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def black(side: int) -> bytes:
    """The pixels of a black square with one bit each, compressed a thousandfold."""
    squeeze = zlib.compressobj(1)
    row = bytes(1 + (side + 7) // 8)
    return b"".join(squeeze.compress(row * 100) for _ in range(side // 100)) + squeeze.flush()


def png(side: int, frames: int = 1) -> bytes:
    """A black square; with several frames an animated one (PNG, third edition, 11.3.6)."""
    pixels = black(side)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))]
    if frames > 1:
        parts.append(chunk(b"acTL", struct.pack(">II", frames, 0)))
    numbers: Iterator[int] = iter(range(2 * frames))
    for frame in range(frames):
        if frames > 1:
            control = struct.pack(">IIIIIHHBB", next(numbers), side, side, 0, 0, 1, 100, 0, 0)
            parts.append(chunk(b"fcTL", control))
        if frame == 0:
            parts.append(chunk(b"IDAT", pixels))
        else:
            parts.append(chunk(b"fdAT", struct.pack(">I", next(numbers)) + pixels))
    return b"".join([*parts, chunk(b"IEND", b"")])


def font() -> bytes:
    """A WOFF file (WOFF 1.0, 4) with one table that is 256 MiB long when it is unpacked."""
    size = 256 << 20
    packed = zlib.compress(bytes(size), 1)
    head = struct.pack(
        ">4sIIHHIHHIIIII", b"wOFF", 0x00010000, 64 + len(packed), 1, 0, size + 28, 1, 0, *[0] * 5
    )
    return head + struct.pack(">4sIIII", b"glyf", 64, len(packed), size, 0) + packed


def drawing() -> str:
    """Ten to the power of nine circles in nine lines."""
    levels = [f"<g id=l{n}>{f'<use href=#l{n - 1} />' * 10}</g>" for n in range(1, 10)]
    return f"<svg><defs><circle id=l0 r=1 />{''.join(levels)}</defs><use href=#l9 /></svg>"


def selectors() -> str:
    """Elements that all depend on each other's descendants, and a script that changes them for ever."""
    rules = "".join(
        f".a{n}:has(.b{n} ~ .a{n + 1} .b{n}) ~ div:has(div div p) {{ left: {n}px }}" for n in range(300)
    )
    rows = "".join(f"<div class=a{n % 300}><div class=b{n % 300}><div><p>x</div></div>" for n in range(6000))
    return f"""<style>{rules}</style>{rows}<script>
        const all = document.querySelectorAll('div');
        setInterval(() => {{ for (const one of all) {{ one.classList.toggle('b7'); getComputedStyle(one).left }} }})
        </script>"""


async def film(request: web.Request) -> web.StreamResponse:
    """The head of an MP4 file, and then no end of it."""
    response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
    await response.prepare(request)
    await response.write(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\0\x01mdat" + b"\xff" * 8)
    while True:
        await response.write(bytes(1 << 16))


@pytest.fixture
def bombs(site: Origin) -> list[str]:
    """Pages with one bomb each."""
    site.routes |= {
        "/vast.png": web.Response(body=png(60_000), content_type="image/png"),
        "/large.png": web.Response(body=png(16_000), content_type="image/png"),
        "/moving.png": web.Response(body=png(8_000, frames=50), content_type="image/apng"),
        "/font.woff": web.Response(body=font(), content_type="font/woff"),
        "/film": film,
        "/image": f"<title>t</title>{DRAWN}<img src=/vast.png onload=draw(this)><img src=/large.png onload=draw(this)>",
        "/animation": f"<title>t</title>{DRAWN}<img src=/moving.png onload=draw(this)>",
        "/drawing": f"<title>t</title>{drawing()}",
        "/typeface": "<title>t</title><style>@font-face { font-family: f; src: url(/font.woff) } p { font-family: f }"
        "</style><p>text",
        "/style": f"<title>t</title>{selectors()}",
        "/films": "<title>t</title>" + "<video autoplay muted src=/film width=7680 height=4320></video>" * 4,
        "/quick": QUICK,
    }
    return ["/image", "/animation", "/drawing", "/typeface", "/style", "/films"]


async def test_f11_bombs_cost_their_own_page_and_nobody_elses(
    renderers: Renderers, site: Origin, bombs: list[str]
) -> None:
    async with renderers(browser_memory_bytes=512 << 20) as renderer:
        for path in bombs:
            started = time.monotonic()
            burst = asyncio.create_task(renderer.render(site.url(path), deadline_seconds=DEADLINE_SECONDS))
            assert (await renderer.page(site.url("/quick"), crawl_id="other")).title == "quick", path
            found = await burst
            assert time.monotonic() - started < DEADLINE_SECONDS + 5, path
            if isinstance(found, Rendered):
                assert found.title == "t", path
            else:
                assert isinstance(found, Failure)
                assert found.code in (ErrorCode.TIMEOUT, ErrorCode.BROWSER_CRASHED, ErrorCode.TOO_LARGE), path
            assert (await renderer.page(site.url("/quick"), crawl_id="other")).title == "quick", path
