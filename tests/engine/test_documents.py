"""Documents in a crawl, in both modes: the same record, whoever met them."""

from __future__ import annotations

import pytest

from crawler.model import UrlStatus
from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, answer, serve
from tests.extract.documents import docx, samples
from tests.extract.documents.hostile import DOCX_TYPE, HOSTILE

PDF = samples()[0]
OTHERS = {
    "/e.bin": answer(b"\0\1\2", content_type="application/octet-stream"),
    "/f.zip": answer(b"PK\x03\x04", content_type="application/zip"),
    "/attached.docx": answer(docx(), content_type=DOCX_TYPE, content_disposition="attachment"),
    **{path: answer("<title>entry</title>") for path in ("/fog", "/sloop", "/tide", "/map.html")},
}
#: Too much for their readers; the tables are more than may be fetched.
HARMFUL = [
    "loop.pdf",
    "bomb.docx",
    "deep.docx",
    "laughs.rss",
    "table.csv",
    "table.tsv",
    "long.txt",
]


@pytest.mark.parametrize("render", [False, pytest.param(True, marks=pytest.mark.browser)])
async def test_c14_documents_of_twelve_types_are_records_like_pages(engines: Engines, render: bool) -> None:
    def handle(path: str) -> bytes:
        sample = next((sample for sample in samples() if sample.path == path), None)
        if sample is not None:
            body = sample.body.replace(b"http://site.test", origin.url("").encode())
            return answer(body, content_type=sample.content_type)
        if path == "/":
            paths = [*(sample.path for sample in samples()), *OTHERS]
            return answer("<title>t</title>" + "".join(f"<a href={path}>x</a>" for path in paths))
        return OTHERS.get(path, NOT_FOUND)

    async with serve(handle) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), render=render, formats=["html", "markdown"], limit=50)
    found = {url.removeprefix(origin.url("")): record for url, record in records.items()}
    for sample in samples():
        record = found[sample.path]
        assert (record.status, record.reason) == (UrlStatus.COMPLETED, ""), sample.path
        lines = {line.replace("http://site.test", origin.url("")) for line in sample.lines}
        assert lines <= set((record.markdown or "").split("\n")), sample.path
        assert (record.html, record.http_status, record.title) == (None, 200, sample.title), sample.path
        assert record.details["contentType"] == sample.content_type.partition(";")[0]
        assert record.details["contentLength"]
    assert found[PDF.path].details["pageCount"] == 2
    assert "# Harbour rules" in (found["/attached.docx"].markdown or "")
    for path in ("/fog", "/sloop", "/tide", "/map.html"):
        assert found[path].status is UrlStatus.COMPLETED
    for path in ("/e.bin", "/f.zip"):
        assert found[path].status is UrlStatus.ERRORED
        assert found[path].reason in {"unsupported_content", "download"}
        assert found[path].details["contentType"]
        assert "contentLength" in found[path].details or render


@pytest.mark.slow
async def test_hostile_documents_are_errored_records(engines: Engines) -> None:
    bodies = {f"/{name}": HOSTILE[name] for name in HARMFUL}
    start = answer("".join(f"<a href={path}>x</a>" for path in [*bodies, "/ok.csv"]))
    others = {"/": start, "/ok.csv": answer("a,b\n", content_type="text/csv")}

    def handle(path: str) -> bytes:
        if path in bodies:
            return answer(bodies[path].make(), content_type=bodies[path].content_type)
        return others.get(path, NOT_FOUND)

    async with serve(handle) as origin, engines(convert_timeout_seconds=5.0) as engine:
        _, records = await engine.crawl(origin.url(), formats=["markdown"], limit=20)
    reasons = {url.rpartition("/")[2]: record.reason for url, record in records.items()}
    assert {name: reasons[name] for name in HARMFUL} == {
        **dict.fromkeys(HARMFUL[:4], "bad_document"),
        **dict.fromkeys(HARMFUL[4:], "too_large"),
    }
    assert reasons["ok.csv"] == ""


async def test_markdown_options_reach_the_record(engines: Engines) -> None:
    page = answer(
        "<html lang=en><title>T</title><meta name=description content='D'><nav>menu</nav>"
        "<main><p class=ad>buy</p><p>" + "text " * 50 + "<a href=/x>link</a><img src=/i.png></main>"
    )
    options = {
        "content": "main",
        "excludeSelectors": [".ad"],
        "links": False,
        "images": False,
    }
    bare = {"frontMatter": False}
    async with serve(lambda path: page if path == "/" else NOT_FOUND) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), formats=["markdown"], limit=1, markdownOptions=options)
        _, whole = await engine.crawl(
            origin.url(), formats=["markdown"], limit=1, maxAge=0, markdownOptions=bare
        )
    record = records[origin.url()]
    head = '---\ntitle: "T"\nmeta:\n  description: "D"\n---\n\n'
    assert record.markdown == head + ("text " * 50) + "link"
    assert record.details["description"] == "D"
    assert record.details["language"] == "en"
    assert record.details["wordCount"] == 51
    assert (whole[origin.url()].markdown or "").startswith("menu\n\nbuy")
