from __future__ import annotations

import pytest

from crawler.extract.content_type import classify
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


@pytest.mark.parametrize("body", [PNG, PDF, ELF, b"\x00\x00\x00\x18ftypmp42"])
@pytest.mark.parametrize("content_type", ["text/html", None, "application/xhtml+xml"])
def test_d10_other_formats_are_never_taken_for_html(content_type: str | None, body: bytes) -> None:
    found = classify(content_type, body)
    assert isinstance(found, Failure)
    assert found.code == ErrorCode.UNSUPPORTED_CONTENT


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/json",
        "image/png",
        "application/pdf",
        "application/octet-stream",
        "text/xml",
    ],
)
def test_c13_c14_c16_other_declared_types_are_believed(content_type: str) -> None:
    found = classify(content_type, HTML)
    assert isinstance(found, Failure)
    assert found.code == ErrorCode.UNSUPPORTED_CONTENT
    assert content_type in found.detail


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
