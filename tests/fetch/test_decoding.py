"""Content-Encoding under attack (cases D2 to D5, C7 to C9): bounded output, one layer, no half bodies."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from crawler.fetch.decoding import ACCEPT_ENCODING, decode
from crawler.model import ErrorCode, Failure

LIMIT = 10 << 20


def raw_deflate(body: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(body) + squeeze.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", partial(brotli.compress, quality=1)),
    "zstd": ("zstd", zstandard.compress),
}
kinds = pytest.mark.parametrize("kind", ENCODERS)


def code_of(result: bytes | Failure) -> ErrorCode:
    assert isinstance(result, Failure), f"decoded to {len(result)} bytes"
    return result.code


@kinds
@given(body=st.binary(max_size=5000))
def test_c7_what_was_encoded_comes_back(kind: str, body: bytes) -> None:
    name, encode = ENCODERS[kind]
    assert decode(encode(body), name, limit=LIMIT) == body
    assert decode(encode(body), f" {name.upper()}", limit=len(body)) == body


@kinds
def test_c7_a_large_body_comes_back(kind: str) -> None:
    body = b"".join(b"<p>%d</p>" % number for number in range(300_000))
    name, encode = ENCODERS[kind]
    assert decode(encode(body), name, limit=LIMIT) == body


@pytest.mark.parametrize("name", ["", "identity", "Identity, identity", " , "])
def test_c7_nothing_to_decode(name: str) -> None:
    assert decode(b"body", name, limit=4) == b"body"
    assert code_of(decode(b"body", name, limit=3)) is ErrorCode.TOO_LARGE


def test_every_advertised_encoding_is_decoded() -> None:
    assert {name.strip() for name in ACCEPT_ENCODING.split(",")} <= {name for name, _ in ENCODERS.values()}


@kinds
def test_d2_bomb_stops_at_the_limit(kind: str) -> None:
    """Many megabytes of zeros in one or less: refused with little memory and time."""
    name, encode = ENCODERS[kind]
    bomb = {
        "gzip": lambda: _stream(31),
        "x-gzip": lambda: _stream(31),
        "zlib": lambda: _stream(15),
        "raw deflate": lambda: _stream(-15),
        "br": lambda: encode(bytes(256 << 20)),
        "zstd": lambda: encode(bytes(256 << 20)),
    }[kind]()
    tracemalloc.start()
    started = time.process_time()
    try:
        result = decode(bomb, name, limit=LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert code_of(result) is ErrorCode.TOO_LARGE
    assert peak < 64 << 20
    assert time.process_time() - started < 3


def _stream(wbits: int) -> bytes:
    squeeze = zlib.compressobj(1, wbits=wbits)
    megabyte = bytes(1 << 20)
    return b"".join(squeeze.compress(megabyte) for _ in range(256)) + squeeze.flush()


@pytest.mark.parametrize("name", [", ".join(["gzip"] * 100), "gzip, br", "gzip,gzip"])
def test_d3_more_than_one_layer_is_refused(name: str) -> None:
    assert code_of(decode(gzip.compress(gzip.compress(b"x")), name, limit=LIMIT)) is ErrorCode.DECODE_ERROR


@kinds
def test_d4_plain_text_that_claims_to_be_encoded(kind: str) -> None:
    body = b"<!doctype html><title>plain</title>" * 10
    assert code_of(decode(body, ENCODERS[kind][0], limit=LIMIT)) is ErrorCode.DECODE_ERROR


@kinds
def test_d4_cut_stream_is_no_body(kind: str) -> None:
    name, encode = ENCODERS[kind]
    whole = encode(b"".join(b"<p>%d" % number for number in range(2000)))
    for length in (1, len(whole) // 2, len(whole) - 1):
        assert code_of(decode(whole[:length], name, limit=LIMIT)) is ErrorCode.DECODE_ERROR


@kinds
def test_d4_bytes_after_the_end(kind: str) -> None:
    name, encode = ENCODERS[kind]
    for junk in (b"j", b"junk" * 500):
        assert code_of(decode(encode(b"page" * 100) + junk, name, limit=LIMIT)) is ErrorCode.DECODE_ERROR


@pytest.mark.parametrize("name", ["x-foo", "compress", "aws-chunked", "gzip;q=1"])
def test_d4_unknown_encoding_is_unsupported(name: str) -> None:
    assert code_of(decode(b"body", name, limit=LIMIT)) is ErrorCode.UNSUPPORTED_CONTENT


def test_d5_a_million_empty_members_end_soon() -> None:
    bomb = gzip.compress(b"") * 500_000
    started = time.process_time()
    assert code_of(decode(bomb, "gzip", limit=LIMIT)) is ErrorCode.DECODE_ERROR
    assert time.process_time() - started < 2


def test_joined_gzip_members_are_one_body() -> None:
    assert decode(gzip.compress(b"one ") + gzip.compress(b"two"), "gzip", limit=LIMIT) == b"one two"


def test_members_together_stay_under_the_limit() -> None:
    assert code_of(decode(gzip.compress(bytes(600)) * 2, "gzip", limit=1000)) is ErrorCode.TOO_LARGE


@kinds
@given(body=st.binary(min_size=200, max_size=3000), kept=st.integers(1, 150))
def test_truncated_reading_keeps_the_beginning(kind: str, body: bytes, kept: int) -> None:
    name, encode = ENCODERS[kind]
    assert decode(encode(body), name, limit=kept, truncate=True) == body[:kept]
    prefix = decode(encode(body)[:-1], name, limit=LIMIT, truncate=True)
    assert isinstance(prefix, bytes)
    assert body.startswith(prefix)


def test_zstd_window_of_more_than_8_mib_is_refused() -> None:
    """RFC 9659: a decoder for the web need not hold more."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    squeeze = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = squeeze.compress(b"a" * 1000) + squeeze.flush()
    assert code_of(decode(body, "zstd", limit=LIMIT)) is ErrorCode.DECODE_ERROR


@kinds
@given(body=st.binary(max_size=300))
def test_any_bytes_end_in_a_value(kind: str, body: bytes) -> None:
    assert isinstance(decode(body, ENCODERS[kind][0], limit=1000), bytes | Failure)
