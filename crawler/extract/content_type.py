"""Whether a body is a page: by its declared type, and by its first bytes where that is missing or wrong."""

from __future__ import annotations

import re
from typing import Literal

from crawler.model import ErrorCode, Failure

#: How much of a body `classify` needs (MIME Sniffing Standard, 5.2: the resource header).
SNIFF_BYTES = 1445

HTML_TYPES = frozenset(["text/html", "application/xhtml+xml"])
#: Types that say nothing; the first bytes decide (MIME Sniffing Standard, 7).
UNKNOWN_TYPES = frozenset(["", "unknown/unknown", "application/unknown", "*/*"])
#: Types that browsers offer to save.
ARCHIVE_TYPES = frozenset(
    [
        "application/zip",
        "application/gzip",
        "application/x-gzip",
        "application/x-tar",
        "application/x-7z-compressed",
        "application/x-rar-compressed",
        "application/vnd.rar",
        "application/x-bzip2",
        "application/x-xz",
    ]
)

#: First bytes that no HTML page has (MIME Sniffing Standard, 6 and 7.1; the last three are programs).
_BINARY = {
    b"%PDF-": "application/pdf",
    b"%!PS-Adobe-": "application/postscript",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"\0\0\1\0": "image/x-icon",
    b"RIFF": "image/webp",
    b"OggS\0": "application/ogg",
    b"ID3": "audio/mpeg",
    b"\x1aE\xdf\xa3": "video/webm",
    b"wOFF": "font/woff",
    b"wOF2": "font/woff2",
    b"PK\x03\x04": "application/zip",
    b"Rar!\x1a\x07": "application/x-rar-compressed",
    b"\x1f\x8b\x08": "application/gzip",
    b"7z\xbc\xaf\x27\x1c": "application/x-7z-compressed",
    b"\x7fELF": "application/x-executable",
    b"MZ\x90\0": "application/x-executable",
    b"\0asm": "application/wasm",
}
_MP4 = re.compile(rb"\A....ftyp", re.DOTALL)
#: What a page begins with (MIME Sniffing Standard, 7.1), after white space and a byte order mark.
_HTML_START = re.compile(
    rb"\A(?:\xef\xbb\xbf)?[\t\n\f\r ]*<(?:(?:!doctype[ ]html|html|head|script|iframe|h1|div|font|table|a|style|title|b|"
    rb"body|br|p|meta)[ >\t\n\f\r/]|!--|\?xml[^>]*\?>\s*(?:<!doctype[ ]html|<html))",
    re.IGNORECASE,
)


def classify(
    content_type: str | None, body_prefix: bytes, disposition: str | None = None
) -> Literal["html"] | Failure:
    """Say whether a response is a page. `body_prefix` is the decoded body, or its first `SNIFF_BYTES`.

    A declared type is believed, except that bytes of another format are never taken for HTML.
    """
    if disposition is not None and disposition.split(";", 1)[0].strip().lower() == "attachment":
        return Failure(ErrorCode.DOWNLOAD, "Content-Disposition: attachment")
    declared = (content_type or "").split(";", 1)[0].split(",", 1)[0].strip().lower()
    sniffed = _binary_type(body_prefix)
    if declared in ARCHIVE_TYPES:
        return Failure(ErrorCode.DOWNLOAD, declared)
    if declared not in HTML_TYPES | UNKNOWN_TYPES:
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, declared[:100])
    if sniffed in ARCHIVE_TYPES and declared in UNKNOWN_TYPES:
        return Failure(ErrorCode.DOWNLOAD, sniffed)
    if sniffed:
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, f"{sniffed}, declared as {declared or 'nothing'}")
    if declared in UNKNOWN_TYPES and body_prefix and not _HTML_START.match(body_prefix[:SNIFF_BYTES]):
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, "no Content-Type, and the body is not HTML")
    return "html"


def _binary_type(prefix: bytes) -> str:
    for magic, name in _BINARY.items():
        if prefix.startswith(magic):
            return name
    return "video/mp4" if _MP4.match(prefix[:12]) else ""
