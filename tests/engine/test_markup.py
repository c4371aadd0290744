"""Markup that the browser reads otherwise than the parser: both modes give the same Markdown."""

from __future__ import annotations

import pytest

from tests.engine.conftest import Engines
from tests.engine.origin import NOT_FOUND, answer, serve

BOTH_MODES = pytest.mark.parametrize("render", [False, pytest.param(True, marks=pytest.mark.browser)])


@BOTH_MODES
async def test_noscript_in_a_head_is_not_shown(engines: Engines, render: bool) -> None:
    page = answer("<head><noscript><img src='/tr?id=1'></noscript><title>NS</title></head><body><p>x</p>")
    async with serve(lambda path: page if path == "/" else NOT_FOUND) as origin, engines() as engine:
        _, records = await engine.crawl(
            origin.url(),
            render=render,
            formats=["html", "markdown"],
            limit=1,
            markdownOptions={"frontMatter": False},
        )
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
    async with serve(lambda path: pages.get(path, NOT_FOUND)) as origin, engines() as engine:
        _, records = await engine.crawl(
            origin.url(),
            render=render,
            formats=["html", "markdown"],
            limit=2,
            markdownOptions={"frontMatter": False},
        )
    record = records[origin.url()]
    assert record.title == "X page"
    assert record.markdown == f"Text here & there\n\n[link]({origin.url('/ok')})"
    assert record.html == xhtml or render
    assert origin.url("/ok") in records
