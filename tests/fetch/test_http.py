"""Answers of hostile and broken origins (attack cases D1, D6 to D9, D13; origins C): bounded, and never half a page."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawler.model import ErrorCode, Failure, Refusal, Response
from tests.fetch.origins import Origin, Route, Script, fetching, page

pytestmark = pytest.mark.usefixtures("canary")


async def fetch(url: str, **options: object) -> Response | Failure | Refusal:
    async with fetching() as fetcher:
        return await fetcher.fetch(url, **options)  # type: ignore[arg-type]


async def response(url: str, **options: object) -> Response:
    answer = await fetch(url, **options)
    assert isinstance(answer, Response), answer
    return answer


async def failure(url: str, **options: object) -> Failure:
    answer = await fetch(url, **options)
    assert isinstance(answer, Failure), answer
    return answer


def script(*pieces: bytes, then_wait: bool = False, reset: bool = False) -> Script:
    """Send pieces, then close, wait for ever, or reset the connection."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_wait:
            await reader.read()
        if reset:
            writer.transport.abort()

    return send


def drip(head: bytes, seconds: float) -> Script:
    """One byte at a time, for ever."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(seconds)

    return send


def endless(head: bytes, piece: bytes, count: list[int]) -> Script:
    """Send as fast as the other side takes it; counts the bytes taken."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            count[0] += len(piece)

    return send


async def test_a_page_arrives_with_all_that_is_known_about_it(site: Origin) -> None:
    body = b"<title>hello</title>"
    packed = gzip.compress(body)
    site.routes["/p?q=1"] = page(
        packed,
        "Content-Type: text/html",
        "Content-Encoding: gzip",
        "Vary: a",
        "VARY: b",
        "X-Odd: \xff\xc3\xa9",
    )
    answer = await response(site.url("/p?q=1"))
    assert (answer.url, answer.status, answer.body, answer.redirects) == (site.url("/p?q=1"), 200, body, ())
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["vary"] == "a, b"
    assert answer.headers["x-odd"] == "\ufffd\u00e9"
    assert answer.wire_bytes == len(packed)
    assert 0 < answer.elapsed_seconds < 30


async def test_c21_the_request_is_honest_and_takes_nothing_from_the_environment(
    site: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {site.host} login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.3:8000")
    site.routes["/"] = page()
    async with fetching(user_agent="ShopBot/2.0 (+https://shop.test/bot)") as fetcher:
        assert isinstance(await fetcher.fetch(site.url()), Response)
    assert site.header("User-Agent") == ["ShopBot/2.0 (+https://shop.test/bot)"]
    assert site.header("Accept-Encoding") == ["gzip, deflate, br, zstd"]
    assert site.header("Host") == [f"127.0.0.2:{site.port}"]
    for name in ("Authorization", "Cookie", "Referer", "From"):
        assert site.header(name) == [None]


async def test_headers_of_the_caller_are_sent_as_given(site: Origin) -> None:
    site.routes["/"] = page()
    await response(site.url(), headers={"If-None-Match": 'W/"x"', "Accept": "text/plain"})
    assert site.header("If-None-Match") == ['W/"x"']
    assert site.header("Accept") == ["text/plain"]


@pytest.mark.parametrize(
    "status",
    ["204 No Content", "205 Reset", "206 Partial", "304 Not Modified", "401 Who", "402 Pay", "403 No", "404 Gone",
     "410 Gone", "429 Slow", "451 Law", "500 Oops", "503 Busy", "600 Odd", "999 Denied"],
)  # fmt: skip
async def test_d13_b1_b16_any_final_status_is_an_answer(site: Origin, status: str) -> None:
    empty = status[:3] in ("204", "304")
    site.routes["/"] = page(b"" if empty else b"why", "Retry-After: 99999999", status=status)
    answer = await response(site.url())
    assert answer.status == int(status[:3])
    assert answer.body == (b"" if empty else b"why")
    assert answer.headers["retry-after"] == "99999999"


async def test_d1_c10_endless_body_stops_at_the_limit(site: Origin) -> None:
    sent = [0]
    site.routes["/"] = endless(b"HTTP/1.1 200 OK\r\n\r\n", bytes(65536), sent)
    assert (await failure(site.url())).code is ErrorCode.TOO_LARGE
    assert 10 << 20 <= sent[0] < 30 << 20


async def test_d1_a_promise_of_5_gib_is_not_believed_further(site: Origin) -> None:
    sent = [0]
    site.routes["/"] = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 5368709120\r\n\r\n", bytes(65536), sent)
    assert (await failure(site.url(), max_bytes=1 << 20)).code is ErrorCode.TOO_LARGE
    assert sent[0] < 20 << 20


async def test_the_limit_is_inclusive(site: Origin) -> None:
    site.routes["/"] = page(b"x" * 5000)
    assert len((await response(site.url(), max_bytes=5000)).body) == 5000
    assert (await failure(site.url(), max_bytes=4999)).code is ErrorCode.TOO_LARGE


async def test_d2_c9_decoded_bytes_count_too(site: Origin) -> None:
    site.routes["/"] = page(gzip.compress(bytes(1 << 20)), "Content-Encoding: gzip")
    assert (await failure(site.url(), max_bytes=100_000)).code is ErrorCode.TOO_LARGE


async def test_a_large_encoded_body_is_decoded(site: Origin) -> None:
    body = b"".join(b"%d " % number for number in range(400_000))
    site.routes["/"] = page(gzip.compress(body, 1), "Content-Encoding: gzip")
    assert (await response(site.url())).body == body


@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_robots_txt_is_cut_instead_of_failing(site: Origin, encoding: str) -> None:
    body = b"Disallow: /x\n" * 1000
    sent = [0]
    head = b"HTTP/1.1 200 OK\r\n"
    if encoding:
        site.routes["/robots.txt"] = page(gzip.compress(body), "Content-Encoding: gzip")
    else:
        site.routes["/robots.txt"] = endless(head + b"\r\n", body, sent)
    answer = await response(site.url("/robots.txt"), max_bytes=1000, truncate=True)
    assert answer.body == body[:1000]


async def test_the_caller_may_refuse_by_the_head(site: Origin) -> None:
    """D12: a download of gigabytes costs its head."""
    seen: list[tuple[int, str]] = []
    sent = [0]

    def accept(status: int, headers: Mapping[str, str]) -> Failure | None:
        seen.append((status, headers["content-type"]))
        return Failure(ErrorCode.DOWNLOAD)

    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 2147483648\r\n\r\n"
    site.routes["/"] = endless(head, bytes(65536), sent)
    assert await failure(site.url(), accept=accept) == Failure(ErrorCode.DOWNLOAD)
    assert seen == [(200, "application/zip")]
    assert sent[0] < 20 << 20


SLOW: dict[str, Script] = {
    "d6_c1_head": drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", 0.05),
    "d6_c1_body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", 0.05),
    "d7_no_answer": script(then_wait=True),
    "c2_head_then_silence": script(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", then_wait=True),
}


@pytest.mark.parametrize("case", SLOW)
async def test_the_deadline_is_for_the_whole_fetch(site: Origin, case: str) -> None:
    site.routes["/"] = SLOW[case]
    started = time.monotonic()
    slow = await failure(site.url(), timeout_seconds=0.5)
    assert slow.code is ErrorCode.TIMEOUT
    assert slow.retryable
    assert 0.4 < time.monotonic() - started < 5


async def test_d6_the_deadline_covers_redirects_too(site: Origin) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(page(b"", "Location: /again", status="302 Found"))

    site.routes["*"] = slowly
    assert (await failure(site.url(), timeout_seconds=0.5)).code is ErrorCode.TIMEOUT
    assert len(site.heads) <= 3


async def test_first_byte_has_a_limit_of_its_own(site: Origin) -> None:
    site.routes["/"] = script(then_wait=True)
    async with fetching(first_byte_timeout_seconds=0.3) as fetcher:
        answer = await asyncio.wait_for(fetcher.fetch(site.url()), 10)
    assert isinstance(answer, Failure)
    assert answer.code is ErrorCode.TIMEOUT


BROKEN: dict[str, tuple[Route, ErrorCode]] = {
    "d7_fin_before_head": (script(), ErrorCode.PROTOCOL_ERROR),
    "d7_reset_before_head": (script(reset=True), ErrorCode.PROTOCOL_ERROR),
    "d7_fin_in_head": (script(b"HTTP/1.1 200 OK\r\nContent-"), ErrorCode.PROTOCOL_ERROR),
    "d7_reset_in_body": (
        script(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", reset=True),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d7_c3_short_body": (
        script(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "c5_cut_chunk": (
        script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "c5_no_last_chunk": (
        script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "c6_bad_chunk_size": (
        script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n0\r\n\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_chunk_size_overflow": (
        script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_chunk_size_of_all_bits": (
        script(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_c6_length_and_chunked": (
        page(b"4\r\nhalf\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_c6_two_lengths": (page(b"body", "Content-Length: 3"), ErrorCode.PROTOCOL_ERROR),
    "d8_negative_length": (
        script(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_c11_100_000_lines": (
        script(b"HTTP/1.1 200 OK\r\n", b"X-Many: 1\r\n" * 100_000, b"\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_c11_header_of_10_mib": (
        script(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a" * (10 << 20), b"\r\n\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_c11_headers_of_2_mb": (
        page(b"x", *(f"X-{number}: {'a' * 10_000}" for number in range(190))),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d8_c11_nul_in_header": (page(b"x", "X-Nul: a\0b"), ErrorCode.PROTOCOL_ERROR),
    "c11_no_colon": (page(b"x", "what is this"), ErrorCode.PROTOCOL_ERROR),
    "d8_c11_http_0_9": (script(b"<title>old</title>"), ErrorCode.PROTOCOL_ERROR),
    "d8_http_9_9": (script(b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"), ErrorCode.PROTOCOL_ERROR),
    "c11_status_abc": (script(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"), ErrorCode.PROTOCOL_ERROR),
    "d8_status_000": (page(b"x", status="000 Zero"), ErrorCode.PROTOCOL_ERROR),
    "d8_status_99": (page(b"x", status="99 Low"), ErrorCode.PROTOCOL_ERROR),
    "d8_status_1000": (page(b"x", status="1000 High"), ErrorCode.PROTOCOL_ERROR),
    "c19_switching_protocols": (
        script(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d9_c19_endless_early_hints": (
        script(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000, then_wait=True),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d9_endless_continue": (
        script(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, then_wait=True),
        ErrorCode.PROTOCOL_ERROR,
    ),
    # Where the body ends is anybody's guess, so none of it is kept.
    "c4_length_smaller_than_the_body": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody and more",
        ErrorCode.PROTOCOL_ERROR,
    ),
    "d4_c8_plain_text_as_gzip": (page(b"plain", "Content-Encoding: gzip"), ErrorCode.DECODE_ERROR),
    "d4_c7_unknown_encoding": (page(b"plain", "Content-Encoding: x-foo"), ErrorCode.UNSUPPORTED_CONTENT),
    "d3_two_encodings": (
        page(gzip.compress(b"x"), "Content-Encoding: gzip", "Content-Encoding: br"),
        ErrorCode.DECODE_ERROR,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_answers_are_no_pages(site: Origin, case: str) -> None:
    site.routes["/"], expected = BROKEN[case]
    assert (await failure(site.url(), timeout_seconds=10)).code is expected
    assert len(site.heads) == 1  # a broken answer is not asked for again at once


FINE: dict[str, tuple[bytes, bytes]] = {
    "c19_trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n4\r\nbody\r\n0\r\nX-T: 1\r\n\r\n",
        b"body",
    ),
    "c19_early_hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5 + page(b"body"), b"body"),
    "until_close": (b"HTTP/1.0 200 OK\r\n\r\nbody", b"body"),
    "no_reason": (b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nbody", b"body"),
    "bare_line_feeds": (b"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody", b"body"),
    "folded_header": (b"HTTP/1.1 200 OK\r\nX-Fold: a\r\n b\r\nContent-Length: 4\r\n\r\nbody", b"body"),
    "chunk_extension": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n0\r\n\r\n",
        b"body",
    ),
    "encoded_but_empty": (page(b"", "Content-Encoding: gzip"), b""),
}


@pytest.mark.parametrize("case", FINE)
async def test_odd_but_whole_answers_are_pages(site: Origin, case: str) -> None:
    answer, body = FINE[case]
    site.routes["/"] = answer
    assert (await response(site.url())).body == body


async def test_c4_bytes_after_a_body_never_answer_the_next_request(site: Origin) -> None:
    site.keep_alive = True
    smuggled = page(b"smuggled")
    site.routes |= {"/1": page(b"one") + smuggled, "/2": page(b"two")}
    async with fetching() as fetcher:
        first = await fetcher.fetch(site.url("/1"))
        second = await fetcher.fetch(site.url("/2"))
    assert isinstance(first, Response)
    assert isinstance(second, Response)
    assert (first.body, second.body) == (b"one", b"two")


async def test_c23_a_kept_connection_that_dies_is_replaced(site: Origin) -> None:
    """The origin answers the first request of a connection and drops the second unanswered."""
    served: list[int] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(page(b"first"))
        await reader.readuntil(b"\r\n\r\n")
        served.append(1)

    site.routes["*"] = once
    async with fetching() as fetcher:
        for path in ("/1", "/2"):
            assert isinstance(await fetcher.fetch(site.url(path)), Response)
    assert served
    assert site.connections == 2


async def test_connections_are_kept_for_the_next_page(site: Origin) -> None:
    site.keep_alive = True
    site.routes["*"] = page()
    async with fetching() as fetcher:
        for number in range(20):
            assert isinstance(await fetcher.fetch(site.url(f"/{number}")), Response)
    assert site.connections == 1


async def test_many_fetches_at_once(site: Origin) -> None:
    site.keep_alive = True
    site.routes["*"] = page(b"x" * 10_000)
    async with fetching() as fetcher:
        answers = await asyncio.gather(*(fetcher.fetch(site.url(f"/{number}")) for number in range(200)))
    assert {len(answer.body) for answer in answers if isinstance(answer, Response)} == {10_000}
    assert len(answers) == len([answer for answer in answers if isinstance(answer, Response)])


async def test_a_cancelled_fetch_closes_its_connection(site: Origin) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        gone.set()

    site.routes["/"] = hold
    async with fetching() as fetcher:
        running = asyncio.create_task(fetcher.fetch(site.url()))
        await arrived.wait()
        running.cancel()
        await asyncio.wait_for(gone.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await running


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    noise=st.binary(max_size=300),
    start=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]),
)
async def test_d8_any_bytes_end_in_a_value(site: Origin, noise: bytes, start: bytes) -> None:
    site.routes["/"] = start + noise or b"\0"
    async with fetching() as fetcher:
        answer = await fetcher.fetch(site.url(), timeout_seconds=5)
    assert isinstance(answer, Response | Failure)
