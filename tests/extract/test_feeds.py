"""Feeds: which of their texts are HTML, and what one entry can do to the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.extract.formats.content import BadDocument, Content, Limits
from crawler.extract.formats.feed import read_feed
from tests.extract.documents import RSS

LIMITS = Limits(max_links=100, max_url_chars=2_048, converter="builtin")


def read(body: bytes) -> Content:
    return read_feed(body, "http://site.test/feed", "application/xml", LIMITS)


def test_a_body_that_names_a_file_is_not_that_file(tmp_path: Path) -> None:
    path = tmp_path / "feed.rss"
    path.write_text(RSS)
    with pytest.raises(BadDocument):
        read(str(path).encode())
