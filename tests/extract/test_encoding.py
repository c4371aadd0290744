from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.extract.encoding import clean, decode, encoding_of, name_of_label
from tests.extract.cases import binary, load


def test_c17_declared_encodings_of_the_html5lib_suite() -> None:
    cases = load("encoding/html5lib.json")["cases"]
    wrong = [
        case["id"]
        for case in cases
        if encoding_of(binary({"b64": case["html_b64"]}), None) != case["encoding"].lower()
    ]
    assert wrong == []


def test_every_label_has_its_name() -> None:
    labels: dict[str, str] = load("encoding/labels.json")["labels"]
    assert {label: name_of_label(label) for label in labels} == labels
    assert all(name_of_label(f" {label.upper()}\t") == name for label, name in labels.items())


def test_w3lib_agrees_where_the_standards_do() -> None:
    cases = [
        case for case in load("encoding/w3lib_encoding.json")["cases"] if case["fn"] == "html_to_unicode"
    ]
    right = 0
    for case in cases:
        content_type, body = case["args"]
        right += decode(binary(body), content_type) == case["result"][1]
    # The others are UTF-32 and big-endian UTF-16 without a mark, which the Encoding Standard does not have.
    assert right >= len(cases) - 3


@pytest.mark.parametrize(
    "name", ["utf-7", "idna", "rot13", "zlib_codec", "unicode_escape", "utf-32", "\u212aoi8-r"]
)
def test_d10_python_codecs_cannot_be_named(name: str) -> None:
    assert name_of_label(name) is None
    assert decode(b"a+AGE-", f"text/html; charset={name}") == "a+AGE-"


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("shift_jis", "①表～"),
        ("gbk", "简体中文"),
        ("gb2312", "€𠀀"),
        ("euc-kr", "똠방각하"),
        ("koi8-r", "Привет"),
    ],
)
def test_c17_east_asian_and_cyrillic_pages(label: str, text: str) -> None:
    python_name = {"gbk": "gb18030", "gb2312": "gb18030", "euc-kr": "cp949", "shift_jis": "cp932"}.get(
        label, label
    )
    page = f'<meta charset="{label}"><p>{text}'.encode(python_name)
    assert text in decode(page, None)
    assert text in decode(page, f'text/html; charset="{label}"')


def test_c17_mark_beats_header_beats_meta() -> None:
    assert encoding_of(b"\xef\xbb\xbfx", "text/html; charset=koi8-r") == "utf-8"
    assert encoding_of(b"\xff\xfex\0", "text/html; charset=koi8-r") == "utf-16le"
    assert encoding_of(b"<meta charset=koi8-r>", "text/html; charset=gbk") == "gbk"
    assert encoding_of(b"<meta charset=koi8-r>", "text/html; charset=none") == "koi8-r"


def test_undeclared_pages_are_utf8_only_if_they_are_valid() -> None:
    assert encoding_of("é".encode(), None) == "utf-8"
    assert encoding_of(b"\xe9", None) == "windows-1252"
    assert encoding_of(b"e", None) == "windows-1252"


def test_xml_declaration_of_xhtml() -> None:
    page = '<?xml version="1.0" encoding="koi8-r"?><html><p>Привет</p></html>'
    assert "Привет" in decode(page.encode("koi8-r"), "application/xhtml+xml")


def test_d11_invalid_bytes_nul_and_surrogates_cannot_reach_the_database() -> None:
    text = decode(b"<p>a\0b\xff\xed\xa0\x80", "text/html; charset=utf-8")
    assert "\0" not in text
    assert text.startswith("<p>ab\ufffd")
    assert clean("a\ud800b\0") == "a\ufffdb"


@given(st.binary(), st.one_of(st.none(), st.text()))
def test_any_bytes_become_storable_text(body: bytes, content_type: str | None) -> None:
    text = decode(body, content_type)
    assert "\0" not in text
    assert json.loads(json.dumps(text).encode("utf-8")) == text


@given(st.text().map(clean))
def test_utf8_is_given_back(text: str) -> None:
    assert decode(text.encode(), "text/html; charset=utf-8") == text.removeprefix("\ufeff")
