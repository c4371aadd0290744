"""Whether a body is a page or a document: by its declared type, and by its bytes where that is missing or wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Literal
from urllib.parse import urlsplit

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
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"\xff\xd8\xff": "image/jpeg",
    b"BM": "image/bmp",
    b"RIFF": "audio/wave",
    b"\0\0\1\0": "image/x-icon",
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
_WEBP = re.compile(rb"\ARIFF....WEBPVP", re.DOTALL)
_MP4 = re.compile(rb"\A....ftyp", re.DOTALL)
#: A text may begin with "BMW", too: these are believed only where there is a byte that no text has (the same, 5.2).
_WORDS = frozenset([b"BM", b"RIFF", b"ID3", b"wOFF", b"wOF2"])
_BINARY_BYTE = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
#: What a page begins with (MIME Sniffing Standard, 7.1), after white space and a byte order mark.
_HTML_START = re.compile(
    rb"\A(?:\xef\xbb\xbf)?[\t\n\f\r ]*<(?:(?:!doctype[ ]html|html|head|script|iframe|h1|div|font|table|a|style|title|b|"
    rb"body|br|p|meta)[ >\t\n\f\r/]|!--|\?xml[^>]*\?>\s*(?:<!doctype[ ]html|<html))",
    re.IGNORECASE,
)


#: Types that say only that a body is bytes; servers give them to files that they do not know.
_OPAQUE_TYPES = UNKNOWN_TYPES | {"application/octet-stream", "binary/octet-stream", "application/x-download"}


class DocumentKind(StrEnum):
    """What is no page, and yet can be read."""

    PDF = "pdf"
    DOCX = "docx"
    TEXT = "text"
    MARKDOWN = "markdown"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    XML = "xml"
    FEED = "feed"
    IMAGE = "image"


_DOCUMENT_TYPES: Mapping[str, DocumentKind] = {
    "application/pdf": DocumentKind.PDF,
    "application/x-pdf": DocumentKind.PDF,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": DocumentKind.DOCX,
    "text/plain": DocumentKind.TEXT,
    "text/x-rst": DocumentKind.TEXT,
    "text/yaml": DocumentKind.TEXT,
    "application/yaml": DocumentKind.TEXT,
    "text/markdown": DocumentKind.MARKDOWN,
    "text/x-markdown": DocumentKind.MARKDOWN,
    "text/csv": DocumentKind.CSV,
    "application/csv": DocumentKind.CSV,
    "text/tab-separated-values": DocumentKind.TSV,
    "application/json": DocumentKind.JSON,
    "text/json": DocumentKind.JSON,
    "application/x-ndjson": DocumentKind.JSON,
    "application/xml": DocumentKind.XML,
    "text/xml": DocumentKind.XML,
    "application/rss+xml": DocumentKind.FEED,
    "application/atom+xml": DocumentKind.FEED,
    "application/rdf+xml": DocumentKind.FEED,
}
_BINARY_KINDS = frozenset([DocumentKind.PDF, DocumentKind.DOCX, DocumentKind.IMAGE])
#: The document element of a feed, after what may come before one.
_FEED_START = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*|<\?xml-stylesheet[^>]*>\s*)*"
    rb"<(?:rss|feed|(?:\w+:)?RDF)[\s>]",
    re.DOTALL,
)
#: What a browser makes of bytes that it was told are HTML: text in a body that nothing opened, with a byte early on
#: that no text has (MIME Sniffing Standard, 5.2; NUL is dropped), or with the mark of a format that may lack those.
_SHOWN_BYTES = re.compile(
    r"\A<html><head></head><body>(?:%PDF-|%!PS-|[^\x01-\x08\x0b\x0e-\x1a\x1c-\x1f]{0,"
    + str(SNIFF_BYTES)
    + r"}[\x01-\x08\x0b\x0e-\x1a\x1c-\x1f])"
)
_XHTML = b"http://www.w3.org/1999/xhtml"
_MARKDOWN_NAME = re.compile(r"(?:\.(?:md|markdown|mdx)|/llms(?:-\w+)?\.txt)\Z", re.IGNORECASE)


def media_type(content_type: str | None) -> str:
    """The type and subtype of a Content-Type, in lower case; empty if there is none."""
    return (content_type or "").split(";", 1)[0].split(",", 1)[0].strip().lower()[:100]


def is_xml(content_type: str | None) -> bool:
    """Whether the declared type is one of XML (MIME Sniffing Standard, 4.6)."""
    declared = media_type(content_type)
    return declared in ("text/xml", "application/xml") or declared.endswith("+xml")


def document_kind(content_type: str | None) -> DocumentKind | None:
    """The kind that a declared type names, whatever the body holds."""
    declared = media_type(content_type)
    kind = _DOCUMENT_TYPES.get(declared)
    if kind is None and declared.startswith("image/"):
        return DocumentKind.IMAGE
    if kind is None and declared.endswith("+json"):
        return DocumentKind.JSON
    if kind is None and declared.endswith("+xml") and declared not in HTML_TYPES:
        return DocumentKind.XML
    return kind


def classify(
    content_type: str | None, body: bytes, disposition: str | None = None, *, url: str = ""
) -> Literal["html"] | DocumentKind | Failure:
    """Say what a response is. `body` is decoded from its Content-Encoding; `url` tells Markdown sent as text.

    A declared type is believed, except that bytes of another format are never taken for text.
    """
    declared = media_type(content_type)
    sniffed = _binary_type(body)
    kind = document_kind(content_type)
    if kind is None and declared in _OPAQUE_TYPES:
        kind = _kind_of_bytes(body, sniffed)
    if kind is not None:
        return _confirm(kind, declared, body, sniffed, url)
    if disposition is not None and disposition.split(";", 1)[0].strip().lower() == "attachment":
        return Failure(ErrorCode.DOWNLOAD, "Content-Disposition: attachment")
    if declared in ARCHIVE_TYPES:
        return Failure(ErrorCode.DOWNLOAD, declared)
    if declared not in HTML_TYPES | UNKNOWN_TYPES:
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, declared)
    if sniffed in ARCHIVE_TYPES and declared in UNKNOWN_TYPES:
        return Failure(ErrorCode.DOWNLOAD, sniffed)
    if sniffed:
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, f"{sniffed}, declared as {declared or 'nothing'}")
    if declared in UNKNOWN_TYPES and body and not _HTML_START.match(body[:SNIFF_BYTES]):
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, "no Content-Type, and the body is not HTML")
    return "html"


def shows_bytes(html: str) -> bool:
    """Whether a rendered document looks like another format that was declared as HTML. `classify` knows for sure."""
    return _SHOWN_BYTES.match(html) is not None


def _kind_of_bytes(body: bytes, sniffed: str) -> DocumentKind | None:
    """For a body without a type: only what cannot be mistaken."""
    if sniffed == "application/pdf":
        return DocumentKind.PDF
    if sniffed == "application/zip" and b"word/document.xml" in body:
        return DocumentKind.DOCX
    return DocumentKind.IMAGE if sniffed.startswith("image/") else None


def _confirm(
    kind: DocumentKind, declared: str, body: bytes, sniffed: str, url: str
) -> Literal["html"] | DocumentKind | Failure:
    """The kind, made exact by the body; text that holds another format or NUL is none."""
    if kind in _BINARY_KINDS:
        return kind
    head = body[:SNIFF_BYTES]
    is_wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if sniffed or (b"\0" in head and not is_wide):
        return Failure(ErrorCode.UNSUPPORTED_CONTENT, f"{sniffed or 'bytes'}, declared as {declared}")
    if kind is DocumentKind.TEXT and _MARKDOWN_NAME.search(urlsplit(url).path):
        return DocumentKind.MARKDOWN
    if kind is DocumentKind.XML and _FEED_START.match(head):
        return DocumentKind.FEED
    if kind is DocumentKind.XML and _HTML_START.match(head) and _XHTML in head:
        return "html"
    return kind


def _binary_type(body: bytes) -> str:
    prefix = body[:SNIFF_BYTES]
    if _WEBP.match(prefix):
        return "image/webp"
    for magic, name in _BINARY.items():
        if prefix.startswith(magic) and (magic not in _WORDS or _BINARY_BYTE.search(prefix)):
            return name
    return "video/mp4" if _MP4.match(prefix[:12]) else ""
