"""What a DOCX says about itself, and that nothing in that keeps its text from being read."""

from __future__ import annotations

import io
import zipfile

import pytest

from crawler.extract.formats.content import Content, Limits
from crawler.extract.formats.docx import read_docx
from tests.extract.documents import docx

LIMITS = Limits(max_links=100, max_url_chars=2_048, converter="builtin")
CORE = """<?xml version="1.0"?><cp:coreProperties xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties"
 xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>Rules &amp; fees</dc:title><dc:creator>A. Mole</dc:creator>
<cp:lastModifiedBy>B. Buoy</cp:lastModifiedBy><dcterms:created>2026-11-20T08:00:00Z</dcterms:created>
<dcterms:modified>2026-11-21T10:00:00Z</dcterms:modified></cp:coreProperties>"""


def read(body: bytes) -> Content:
    return read_docx(body, "http://site.test/rules.docx", LIMITS)


def heading(runs: str) -> str:
    return f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr>{runs}</w:p>'


def test_title_author_and_dates_are_those_of_its_properties() -> None:
    found = read(docx(core=CORE))
    assert found.title == "Rules & fees"
    assert found.metadata.to_details() == {
        "author": "A. Mole",
        "publishedAt": "2026-11-20T08:00:00Z",
        "modifiedAt": "2026-11-21T10:00:00Z",
    }


def test_a_title_of_blanks_is_none() -> None:
    assert read(docx(core=CORE.replace("Rules &amp; fees", " "))).title == "Harbour rules"


def test_without_properties_the_title_is_the_first_heading_with_text() -> None:
    runs = "<w:r><w:rPr><w:b/></w:rPr><w:t>Old</w:t><w:br/></w:r><w:r><w:t>harbour</w:t></w:r>"
    assert read(docx("<w:p/>" + heading("") + heading(runs))).title == "Old harbour"
    assert read(docx("<w:p><w:r><w:t>x</w:t></w:r></w:p>")).title == ""


@pytest.mark.parametrize(
    "part",
    [
        "",
        "<cp:coreProperties>",
        CORE[:-5],
        CORE.replace("?>", ' encoding="none"?>'),
        CORE.replace("?>", ' encoding="big5"?>'),
        CORE.replace("?>", '?><!DOCTYPE x [<!ENTITY e "Bomb">]>').replace("Rules", "&e;"),
        CORE.replace("Rules", "x" * (2 << 20)),
        "<a>" * 300_000,
    ],
    ids=["empty", "unbound", "cut", "unknown", "wide", "entities", "long", "deep"],
)
def test_bad_properties_are_none(part: str) -> None:
    found = read(docx(core=part))
    assert (found.title, found.metadata.to_details()) == ("Harbour rules", {})
    assert "# Harbour rules" in found.markdown


def test_properties_that_cannot_be_unpacked_are_none() -> None:
    body = docx(core=CORE)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        part = archive.getinfo("docProps/core.xml")
    start = part.header_offset + 30 + len(part.filename)
    found = read(body[:start] + b"\xff" * part.compress_size + body[start + part.compress_size :])
    assert (found.title, found.metadata.author) == ("Harbour rules", "")
