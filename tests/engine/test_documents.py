"""Documents in a crawl, in both modes: the same record, whoever met them."""

from __future__ import annotations

import pytest

from crawler.model import UrlStatus
from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, answer, serve
from tests.extract.documents import RSS, docx, samples

PDF = samples()[0]
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
LINKS = "".join(
    f"<a href={path}>x</a>" for path in ("/a.pdf", "/b.docx", "/c.csv", "/d.rss", "/e.bin", "/f.zip")
)
FILES = {
    "/": answer(f"<title>t</title>{LINKS}"),
    "/a.pdf": answer(PDF.body, content_type="application/pdf"),
    "/b.docx": answer(docx(), content_type=WORD, content_disposition="attachment"),
    "/c.csv": answer("ship,fee\nsloop,3\n", content_type="text/csv"),
    "/e.bin": answer(b"\0\1\2", content_type="application/octet-stream"),
    "/f.zip": answer(b"PK\x03\x04", content_type="application/zip"),
    "/entry": answer("<title>entry</title>"),
}


@pytest.mark.parametrize("render", [False, pytest.param(True, marks=pytest.mark.browser)])
async def test_c14_documents_are_records_like_pages(engines: Engines, render: bool) -> None:
    def handle(path: str) -> bytes:
        if path == "/d.rss":
            feed = RSS.replace("http://site.test", origin.url("")).replace("/fog", "/entry")
            return answer(feed, content_type="application/rss+xml")
        return FILES.get(path, NOT_FOUND)

    async with serve(handle) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), render=render, formats=["html", "markdown"], limit=20)
    found = {url.removeprefix(origin.url("")): record for url, record in records.items()}
    for path, line in {
        "/a.pdf": "| February | 9 | 10 |",
        "/b.docx": "# Harbour rules",
        "/c.csv": "| sloop | 3 |",
        "/d.rss": "# Harbour news",
    }.items():
        record = found[path]
        assert (record.status, record.reason) == (UrlStatus.COMPLETED, ""), path
        assert line in (record.markdown or "").split("\n"), path
        assert record.html is None
        assert record.http_status == 200
        assert record.details["contentLength"]
    assert found["/a.pdf"].title == PDF.title
    assert found["/a.pdf"].details["contentType"] == "application/pdf"
    assert found["/a.pdf"].details["pageCount"] == 2
    assert found["/entry"].status is UrlStatus.COMPLETED
    for path in ("/e.bin", "/f.zip"):
        assert found[path].status is UrlStatus.ERRORED
        assert found[path].reason in {"unsupported_content", "download"}
        assert found[path].details["contentType"]
        assert "contentLength" in found[path].details or render


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
        "frontMatter": True,
    }
    async with serve(lambda path: page if path == "/" else NOT_FOUND) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), formats=["markdown"], limit=1, markdownOptions=options)
        _, whole = await engine.crawl(origin.url(), formats=["markdown"], limit=1, maxAge=0)
    record = records[origin.url()]
    head = '---\ntitle: "T"\nmeta:\n  description: "D"\n---\n\n'
    assert record.markdown == head + ("text " * 50) + "link"
    assert record.details["description"] == "D"
    assert record.details["language"] == "en"
    assert record.details["wordCount"] == 51
    assert (whole[origin.url()].markdown or "").startswith("menu\n\nbuy")
