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
