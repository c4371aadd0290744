"""Markup that the browser reads otherwise than the parser: both modes give the same Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from crawler.model import Record
from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, Origin, answer, serve

BOTH_MODES = pytest.mark.parametrize("render", [False, pytest.param(True, marks=pytest.mark.browser)])


async def crawl(
    engines: Engines, pages: Mapping[str, bytes], *, render: bool
) -> tuple[Origin, Mapping[str, Record]]:
    """The origin of these pages, and the records of a crawl of them all, by URL."""
    async with serve(lambda path: pages.get(path, NOT_FOUND)) as origin, engines() as engine:
        _, records = await engine.crawl(
            origin.url(),
            render=render,
            formats=["html", "markdown"],
            limit=len(pages),
            markdownOptions={"frontMatter": False},
        )
    return origin, records


@BOTH_MODES
async def test_noscript_in_a_head_is_not_shown(engines: Engines, render: bool) -> None:
    page = answer("<head><noscript><img src='/tr?id=1'></noscript><title>NS</title></head><body><p>x</p>")
    origin, records = await crawl(engines, {"/": page}, render=render)
    record = records[origin.url()]
    assert (record.title, record.markdown) == ("NS", "x")
    assert '<head><noscript><img src="/tr?id=1"></noscript>' in (record.html or "").replace("'", '"')


@BOTH_MODES
@pytest.mark.parametrize("kind", ["application/xhtml+xml", "text/xml"])
async def test_xhtml_is_read_as_xml(engines: Engines, render: bool, kind: str) -> None:
    xhtml = (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>X page</title>'
        '<script src="/s.js"/></head><body><p><i class="icon"/>Text here<![CDATA[ & there]]></p><textarea/>'
        '<p><a href="/ok">link</a></p></body></html>'
    )
    pages = {"/": answer(xhtml, content_type=kind), "/ok": answer("<p>ok")}
    origin, records = await crawl(engines, pages, render=render)
    record = records[origin.url()]
    assert record.title == "X page"
    assert record.markdown == f"Text here & there\n\n[link]({origin.url('/ok')})"
    assert record.html == xhtml or render
    assert origin.url("/ok") in records
