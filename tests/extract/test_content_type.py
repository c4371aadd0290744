from __future__ import annotations

import pytest

from crawler.extract.content_type import DocumentKind, classify, shows_bytes
from crawler.model import ErrorCode, Failure

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PDF = b"%PDF-1.7\n%\xe2\xe3"
ELF = b"\x7fELF\x02\x01"
HTML = b"<!DOCTYPE html><title>x</title>"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", HTML),
        ("TEXT/HTML; charset=utf-8", b""),
        ("application/xhtml+xml", b"<?xml version='1.0'?><html/>"),
        ("text/html, text/html", HTML),
        ("text/html", b"plain words are a page if the server says so"),
        ("text/html", b"BMW <p>x"),
    ],
)
def test_declared_pages(content_type: str, body: bytes) -> None:
    assert classify(content_type, body) == "html"


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        b"\xef\xbb\xbf \n<HTML>",
        b"<!-- x --><html>",
        b"<p>x",
        b"<?xml version='1.0'?>\n<html xmlns='x'>",
        b"",
    ],
)
def test_c12_a_page_without_type_is_sniffed(body: bytes) -> None:
    assert classify(None, body) == "html"


@pytest.mark.parametrize(
    "body",
    [
        PNG,
        PDF,
        ELF,
        b"\x00\x00\x00\x18ftypmp42",
        b"BM\x46\x00\x00\x00\x00\x00",
        b"ID3\x03\x00",
        b"RIFF\x24\x08\x00\x00WAVE",
        b"RIFF....WEBPVP8 ",
        b"GIF89a",
        b"wOF2\x00\x01\x00\x00",
    ],
)
@pytest.mark.parametrize("content_type", ["text/html", "application/xhtml+xml", "text/plain", "text/csv"])
def test_d10_other_formats_are_never_taken_for_text(content_type: str, body: bytes) -> None:
    found = classify(content_type, body)
    assert isinstance(found, Failure)
    assert found.code == ErrorCode.UNSUPPORTED_CONTENT


@pytest.mark.parametrize(
    ("content_type", "body", "kind"),
    [
        ("text/plain", HTML, DocumentKind.TEXT),
        ("application/json", HTML, DocumentKind.JSON),
        ("application/activity+json", b"{}", DocumentKind.JSON),
        ("image/png", PNG, DocumentKind.IMAGE),
        ("image/svg+xml", b"<svg/>", DocumentKind.IMAGE),
        ("application/pdf", PDF, DocumentKind.PDF),
        ("text/xml", HTML, DocumentKind.XML),
        ("text/xml", b"<?xml version='1.0'?><!-- x --><rss version='2.0'>", DocumentKind.FEED),
        ("application/xml", b"<feed xmlns='http://www.w3.org/2005/Atom'>", DocumentKind.FEED),
        ("application/octet-stream", PDF, DocumentKind.PDF),
        (None, PDF, DocumentKind.PDF),
        (None, PNG, DocumentKind.IMAGE),
        ("application/octet-stream", b"PK\x03\x04..word/document.xml", DocumentKind.DOCX),
        ("text/plain", "\ufeffwide".encode("utf-16-le"), DocumentKind.TEXT),
        ("text/plain", b"BMW prices", DocumentKind.TEXT),
        ("text/csv", b"BMI,age\r\n21,3", DocumentKind.CSV),
        ("text/markdown", b"ID3 tags\n", DocumentKind.MARKDOWN),
        ("text/plain", b"RIFF raff", DocumentKind.TEXT),
        ("text/plain", b"GIF8 or GIF9?", DocumentKind.TEXT),
    ],
)
def test_c13_c14_declared_types_are_believed(
    content_type: str | None, body: bytes, kind: DocumentKind
) -> None:
    assert classify(content_type, body) == kind


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/octet-stream", HTML),
        ("text/css", b"p { }"),
        ("video/mp4", b"x"),
        ("text/plain", b"a\0b"),
        ("application/vnd.ms-excel", b"x"),
    ],
)
def test_c16_other_types_are_not_read(content_type: str, body: bytes) -> None:
    found = classify(content_type, body)
    assert isinstance(found, Failure)
    assert found.code == ErrorCode.UNSUPPORTED_CONTENT
    assert content_type in found.detail


def test_xhtml_sent_as_xml_is_a_page() -> None:
    assert classify("text/xml", b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>") == "html"


@pytest.mark.parametrize(
    ("content_type", "body", "disposition"),
    [
        ("text/html", HTML, 'attachment; filename="x.html"'),
        ("text/html", HTML, "ATTACHMENT"),
        ("application/zip", b"PK\x03\x04", None),
        (None, b"PK\x03\x04", None),
    ],
)
def test_c15_d12_downloads(content_type: str | None, body: bytes, disposition: str | None) -> None:
    found = classify(content_type, body, disposition)
    assert isinstance(found, Failure)
    assert found.code == ErrorCode.DOWNLOAD


def test_inline_disposition_is_a_page() -> None:
    assert classify("text/html", HTML, "inline; filename=attachment.html") == "html"


def test_text_without_type_is_not_a_page() -> None:
    assert isinstance(classify(None, b"just words"), Failure)


@pytest.mark.parametrize(
    "body", [PNG, PDF, ELF, b"PK\x03\x04\x14", b"\xff\xd8\xff\xe0\0\x10JFIF", b"\x1f\x8b\x08\0"]
)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_d10_bytes_that_a_browser_shows_are_noticed(body: bytes, encoding: str) -> None:
    text = body.decode(encoding, "replace").replace("\0", "").replace("\r\n", "\n")
    assert shows_bytes(f"<html><head></head><body>{text}</body></html>")


@pytest.mark.parametrize(
    "html",
    [
        "<!DOCTYPE html><html><head></head><body>\x03</body></html>",
        "<html><head><title>x</title></head><body>\x03</body></html>",
        "<html><head></head><body>plain words\n\tand \u20ac \ufffd</body></html>",
        f"<html><head></head><body>{'x' * 3000}\x03</body></html>",
        "",
    ],
)
def test_d10_pages_are_not_taken_for_bytes(html: str) -> None:
    assert not shows_bytes(html)
