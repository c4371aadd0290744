"""Content-Encoding: bytes in, bounded bytes out. Pure; a body of many megabytes belongs on a thread.

One layer only, and never more output than asked for: a few kilobytes may claim to be gigabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping

import brotli  # type: ignore[import-untyped]
import zstandard

from crawler.model import ErrorCode, Failure

#: What `decode` understands, as an `Accept-Encoding` value.
ACCEPT_ENCODING = "gzip, deflate, br, zstd"

#: RFC 9659: a zstd stream on the web needs no larger window.
_ZSTD_WINDOW_BYTES = 8 << 20
#: zstd has no cap on output per call. A block of 4 bytes can become 128 KiB, so a slice of this size 16 MiB.
_ZSTD_SLICE_BYTES = 512
_GZIP_SLICE_BYTES = 64 * 1024
#: Joined gzip members are legal, but a million empty ones are an attack on our time.
_MAX_GZIP_MEMBERS = 1000


class _BadBody(Exception):
    """The body is not what its Content-Encoding says."""


def decode(body: bytes, content_encoding: str, *, limit: int, truncate: bool = False) -> bytes | Failure:
    """The body without its Content-Encoding (RFC 9110, 8.4), at most `limit` bytes of it.

    A longer body is a `too_large` Failure, or with `truncate` its first `limit` bytes; then `body` may be cut too.
    """
    layers = [
        name for part in content_encoding.lower().split(",") if (name := part.strip()) not in ("", "identity")
    ]
    if not layers or not body:
        return _bounded(body, limit, truncate=truncate)
    if len(layers) > 1:
        return Failure(ErrorCode.DECODE_ERROR, f"{len(layers)} layers of Content-Encoding")
    decoder = _DECODERS.get(layers[0])
    if decoder is None:
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, f"Content-Encoding {layers[0][:40]!r}")
    decoded = bytearray()
    try:
        for piece in decoder(body, limit + 1):
            decoded += piece
            if len(decoded) > limit:
                return _bounded(bytes(decoded), limit, truncate=truncate)
    except _Unfinished as error:
        if not truncate:
            return Failure(ErrorCode.DECODE_ERROR, str(error))
    except (_BadBody, zlib.error, brotli.error, zstandard.ZstdError) as error:
        return Failure(ErrorCode.DECODE_ERROR, f"{layers[0]}: {error}")
    return bytes(decoded)


class _Unfinished(Exception):
    """The body ends in the middle of its stream."""


def _bounded(body: bytes, limit: int, *, truncate: bool) -> bytes | Failure:
    if len(body) <= limit:
        return body
    return body[:limit] if truncate else Failure(ErrorCode.TOO_LARGE, f"more than {limit} bytes decoded")


def _gunzip(body: bytes, most: int) -> Iterator[bytes]:
    """RFC 1952, 2.2: one member after the other. Each piece has at most `most` bytes."""
    at = 0
    for _ in range(_MAX_GZIP_MEMBERS):
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        while not inflater.eof:
            if at >= len(body):
                raise _Unfinished("gzip stream is cut short")
            # In slices, because zlib copies all of its input that belongs to the members after this one.
            slice_ = body[at : at + _GZIP_SLICE_BYTES]
            yield inflater.decompress(slice_, most)
            at += len(slice_) - len(inflater.unused_data)
        if at == len(body):
            return
    raise _BadBody("too many gzip members")


def _inflate(body: bytes, most: int) -> Iterator[bytes]:
    """`deflate` is a zlib stream (RFC 9110, 8.4.1.2); servers that send it without the zlib header are common."""
    has_zlib_header = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS)
    yield inflater.decompress(body, most)
    if not inflater.eof:
        raise _Unfinished("deflate stream is cut short")
    if inflater.unused_data:
        raise _BadBody("bytes after the end")


def _unbrotli(body: bytes, most: int) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    yield stream.process(body, output_buffer_limit=most)
    while not stream.can_accept_more_data():
        yield stream.process(b"", output_buffer_limit=most)
    if not stream.is_finished():
        raise _Unfinished("br stream is cut short")


def _unzstd(body: bytes, most: int) -> Iterator[bytes]:
    stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
    for start in range(0, len(body), _ZSTD_SLICE_BYTES):
        yield stream.decompress(body[start : start + _ZSTD_SLICE_BYTES])
        if stream.eof:
            if stream.unused_data or start + _ZSTD_SLICE_BYTES < len(body):
                raise _BadBody("bytes after the end")
            return
    raise _Unfinished("zstd stream is cut short")


_DECODERS: Mapping[str, Callable[[bytes, int], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
