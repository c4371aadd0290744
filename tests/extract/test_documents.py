"""Documents that are no HTML: what becomes of each type, and that hostile ones end within the limits."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from crawler.extract.content_type import DocumentKind, classify
from crawler.extract.documents import Document, Documents
from crawler.model import ErrorCode, Failure
from crawler.settings import Settings
from tests.extract.documents import Sample, samples
from tests.extract.documents.hostile import HOSTILE

pytestmark = pytest.mark.slow

SITE = "http://site.test"


@asynccontextmanager
async def running(**overrides: object) -> AsyncIterator[Documents]:
    documents = Documents(Settings.load(**overrides))
    try:
        yield documents
    finally:
        await documents.close()


@pytest.fixture(scope="module")
async def documents() -> AsyncIterator[Documents]:
    async with running(convert_timeout_seconds=5.0, convert_memory_bytes=512 << 20) as opened:
        yield opened


@pytest.fixture(scope="module")
async def impatient() -> AsyncIterator[Documents]:
    """Readers that are given little time, because all that many hostile documents do is to take it."""
    async with running(convert_timeout_seconds=3.0, convert_memory_bytes=512 << 20) as opened:
        yield opened


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.path)
async def test_every_type_becomes_markdown(sample: Sample, documents: Documents) -> None:
    url = SITE + sample.path
    assert classify(sample.content_type, sample.body, url=url) == sample.kind
    found = await documents.read(sample.body, sample.kind, url=url, content_type=sample.content_type)
    assert isinstance(found, Document)
    assert set(sample.lines) <= set(found.markdown.split("\n"))
    assert found.links == sample.links
    assert found.title == sample.title
    assert found.content_hash


async def test_what_a_pdf_says_about_itself(documents: Documents) -> None:
    pdf = samples()[0]
    found = await documents.read(pdf.body, pdf.kind, url=SITE + pdf.path, content_type=pdf.content_type)
    assert isinstance(found, Document)
    assert found.details == {
        "publishedAt": "2026-11-21T21:50:21Z",
        "modifiedAt": "2026-11-21T21:50:21Z",
        "wordCount": 100,
        "pageCount": 2,
    }
    assert "nobody was lost at sea. This paragraph is long enough" in found.markdown


async def test_both_converters_write_documents() -> None:
    csv = next(sample for sample in samples() if sample.kind is DocumentKind.CSV)
    async with running(markdown="markdownify") as documents:
        found = await documents.read(csv.body, csv.kind, url=SITE + csv.path, content_type=csv.content_type)
    assert isinstance(found, Document)
    assert set(csv.lines[1:2]) <= set(found.markdown.split("\n"))


async def test_a_large_table_is_shown_as_it_came(documents: Documents) -> None:
    body = b"a,b,c\n" * 50_000
    found = await documents.read(body, DocumentKind.CSV, url=SITE, content_type="text/csv")
    assert isinstance(found, Document)
    assert found.markdown.startswith("```csv\na,b,c\n")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
async def test_a_csv_may_have_other_delimiters(delimiter: str, documents: Documents) -> None:
    body = f"ship{delimiter}fee\nsloop{delimiter}3\n".encode()
    found = await documents.read(body, DocumentKind.CSV, url=SITE, content_type="text/csv")
    assert isinstance(found, Document)
    assert "| sloop | 3 |" in found.markdown


@pytest.mark.parametrize("name", HOSTILE)
async def test_d15_to_d20_hostile_documents_end_within_the_limits(name: str, impatient: Documents) -> None:
    hostile = HOSTILE[name]
    body = hostile.make()
    started = time.monotonic()
    found = await impatient.read(body, hostile.kind, url=SITE, content_type=hostile.content_type)
    assert time.monotonic() - started < 60  # the limit, and a busy machine's time to start a process
    after = await impatient.read(b"{}", DocumentKind.JSON, url=SITE, content_type=None)
    if isinstance(found, Failure):
        assert found.code in {ErrorCode.BAD_DOCUMENT, ErrorCode.TIMEOUT, ErrorCode.TOO_LARGE}
    else:
        assert "root:" not in found.markdown
        assert len(found.markdown) <= len(body) * 2 + 100
    assert isinstance(after, Document)


def test_every_reader_meets_hostile_documents() -> None:
    assert {hostile.kind for hostile in HOSTILE.values()} == set(DocumentKind)


async def test_too_much_markdown_is_refused() -> None:
    async with running(max_record_bytes=1024) as documents:
        found = await documents.read(b"x" * 2000, DocumentKind.TEXT, url=SITE, content_type=None)
    assert isinstance(found, Failure)
    assert found.code is ErrorCode.TOO_LARGE
