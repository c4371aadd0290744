"""A whole page as Markdown."""

from __future__ import annotations

from typing import Literal

from markdownify import MarkdownConverter

#: Names of the converters, as `CRAWL_MARKDOWN` has them.
ConverterName = Literal["markdownify", "html-to-markdown"]


def to_markdown(html: str, *, url: str, converter: ConverterName) -> str:
    """Markdown of the page `html`, whose final URL is `url`."""
    del url, converter
    text: str = MarkdownConverter(heading_style="ATX", bullets="*", bs4_options="lxml").convert(html)
    return text


def to_plain_text(html: str) -> str:
    """The visible words of a page that could not be converted."""
    raise NotImplementedError
