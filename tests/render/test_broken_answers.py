"""Answers of hostile and broken origins, in the browser (attack cases D1 to D14, C22)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping

import brotli  # type: ignore[import-untyped]
import pytest

from crawler.fetch.render_options import Credentials, RenderOptions
from crawler.model import ErrorCode, Failure
from tests.fetch.origins import PUBLIC, Origin, Route, Script, origin, page, serving
from tests.fetch.test_http import BROKEN, drip, endless, script
from tests.fetch.test_tls import Authority, authority
from tests.render.conftest import Outcome, Renderers, Rendering

__all__ = ["authority"]

HTML = "Content-Type: text/html"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


@pytest.fixture
async def raw() -> AsyncIterator[Origin]:
    """An origin whose answers are bytes."""
    async with origin() as running:
        yield running


async def test_d1_a_document_that_never_ends_is_cut(renderers: Renderers, raw: Origin) -> None:
    sent = [0]
    raw.routes["/"] = endless(HEAD + b"Content-Length: 5368709120\r\n\r\n", b"<p>more</p>" * 6000, sent)
    async with renderers(max_page_bytes=1 << 20) as renderer:
        assert (await renderer.failure(raw.url(), deadline_seconds=10)).code is ErrorCode.TOO_LARGE
    assert sent[0] < 20 << 20


@pytest.mark.parametrize("encoding", ["br", "gzip"])
async def test_d2_a_bomb_is_no_page(renderer: Rendering, raw: Origin, encoding: str) -> None:
    body = b"<p>" + b" " * (32 << 20)
    packed = brotli.compress(body, quality=1) if encoding == "br" else gzip.compress(body, 1)
    raw.routes["/"] = page(packed, HTML, f"Content-Encoding: {encoding}")
    assert (await renderer.failure(raw.url())).code is ErrorCode.TOO_LARGE


MISMATCHED = {
    "d3_two_layers_on_one": (gzip.compress(b"<p>x"), "gzip, gzip"),
    "d4_plain_as_gzip": (b"<title>plain</title>", "gzip"),
    "d4_plain_as_br": (b"<title>plain</title>" * 9, "br"),
}


@pytest.mark.parametrize("case", MISMATCHED)
async def test_a_body_that_is_not_what_it_says_is_no_page(
    renderer: Rendering, raw: Origin, case: str
) -> None:
    body, encoding = MISMATCHED[case]
    raw.routes["/"] = page(body, HTML, f"Content-Encoding: {encoding}")
    assert (await renderer.failure(raw.url(), deadline_seconds=10)).code is ErrorCode.DECODE_ERROR


async def test_d3_a_body_that_kills_the_network_process_costs_nobody_else_a_page(
    renderers: Renderers, raw: Origin
) -> None:
    """Chromium's own decoders end so. What it starts in their place knows no context's proxy."""
    raw.routes["/layers"] = page(b"<p>x", HTML, f"Content-Encoding: {', '.join(['gzip'] * 100)}")
    raw.routes["/quick"] = page(b"<title>quick</title>", HTML)
    async with renderers() as renderer:
        assert (await renderer.page(raw.url("/quick"), crawl_id="innocent")).title == "quick"
        lost = await renderer.failure(raw.url("/layers"))
        assert (lost.code, lost.retryable) == (ErrorCode.BROWSER_CRASHED, True)
        assert (await renderer.page(raw.url("/quick"), crawl_id="innocent")).title == "quick"


SLOW: dict[str, Script] = {
    "d6_head": drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", 0.05),
    "d6_body": drip(HEAD + b"Content-Length: 1000000\r\n\r\n", 0.05),
    "d7_no_answer": script(then_wait=True),
}


async def test_d6_d7_the_deadline_is_for_the_whole_page(renderer: Rendering, raw: Origin) -> None:
    raw.routes |= {f"/{case}": answer for case, answer in SLOW.items()}
    ends = [renderer.failure(raw.url(f"/{case}"), deadline_seconds=2) for case in SLOW]
    assert {(await end).code for end in asyncio.as_completed(ends)} == {ErrorCode.TIMEOUT}


CUT: dict[str, Route] = {
    "d7_fin_before_head": script(),
    "d7_reset_before_head": script(reset=True),
    "d7_fin_in_head": script(b"HTTP/1.1 200 OK\r\nContent-"),
    "d7_reset_in_body": script(HEAD + b"Content-Length: 99\r\n\r\n<p>half", reset=True),
    "d7_short_body": script(HEAD + b"Content-Length: 99\r\n\r\n<p>half"),
    "d7_cut_chunk": script(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n<p>half"),
    "d7_no_last_chunk": script(HEAD + b"Transfer-Encoding: chunked\r\n\r\n7\r\n<p>half\r\n"),
    "d7_long_then_cut": script(HEAD + b"Content-Length: 999999\r\n\r\n" + b"<p>half" * 20_000),
}


async def failures(renderer: Rendering, raw: Origin, answers: Mapping[str, Route]) -> dict[str, Outcome]:
    """How each of these answers ends as a page."""
    raw.routes |= {f"/{case}": answer for case, answer in answers.items()}
    ends = await asyncio.gather(
        *(renderer.render(raw.url(f"/{case}"), deadline_seconds=20) for case in answers)
    )
    return dict(zip(answers, ends, strict=True))


async def test_d7_half_a_page_is_no_page(renderer: Rendering, raw: Origin) -> None:
    for case, found in (await failures(renderer, raw, CUT)).items():
        assert isinstance(found, Failure), case
        assert (found.code, found.retryable) == (ErrorCode.PROTOCOL_ERROR, True), case


async def test_d8_d9_broken_heads_are_no_pages(renderer: Rendering, raw: Origin) -> None:
    broken = {
        case: answer for case, (answer, _) in BROKEN.items() if case.startswith(("d8_", "d9_", "c6_", "c11_"))
    }
    for case, found in (await failures(renderer, raw, broken)).items():
        assert isinstance(found, Failure), case
        assert found.code is ErrorCode.PROTOCOL_ERROR, case


async def test_d10_binaries_that_claim_to_be_html_can_be_stored(renderer: Rendering, raw: Origin) -> None:
    """A browser shows them as text, so that is what the page is; nothing in it may break a database."""
    raw.routes["/"] = page(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff", HTML)
    found = await renderer.page(raw.url())
    assert "\0" not in found.html
    found.html.encode()


@pytest.mark.parametrize("status", ["206 Partial Content", "451 Law", "503 Busy", "999 Odd"])
async def test_d13_any_final_status_is_an_answer(renderer: Rendering, raw: Origin, status: str) -> None:
    raw.routes["/"] = page(
        b"<p>why", HTML, "Retry-After: 99999999", "Content-Range: bytes 0-5/9", status=status
    )
    found = await renderer.page(raw.url())
    assert found.response.status == int(status[:3])


@pytest.mark.parametrize("case", ["self_signed", "plain_http"])
async def test_d14_c22_bad_tls_gets_no_request(renderer: Rendering, authority: Authority, case: str) -> None:
    heads: list[bytes] = []
    context = None if case == "plain_http" else authority.issue("127.0.0.2", self_signed=True)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if context is not None:
            await writer.start_tls(context)
        heads.append(await reader.read(2000))
        writer.write(page(b"secret"))
        await writer.drain()

    async with serving(serve, PUBLIC) as port:
        own = f"https://{PUBLIC}:{port}"
        options = RenderOptions(
            own_origin=own, headers={"X-Api-Key": "s3cret"}, credentials=Credentials("user", "s3cret")
        )
        refused = await renderer.render(f"{own}/", options)
    assert isinstance(refused, Failure)
    assert refused.code is ErrorCode.TLS_ERROR
    assert not [head for head in heads if b"HTTP/1.1" in head or b"s3cret" in head]
