"""One converter of HTML to Markdown, or a part of its work, on a list of pages, one after the other.

Argument: JSON with `converter`, `pages` (a file with a JSON list of HTML), `url` (where they come from) and `into` (a
file for the JSON list of what was made). The seconds told are CPU time of the conversions alone. Each converter needs
only its own libraries, so that those of the peers' environment can be run there.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

#: From a page's HTML and its URL.
Convert = Callable[[str, str], str]


def lexbor() -> Convert:
    """Nothing but the parser."""
    from selectolax.lexbor import LexborHTMLParser

    return lambda html, url: str(LexborHTMLParser(html))


def document() -> Convert:
    """What every page costs, Markdown or not: one parse for title, links, metadata and the hash of the main text."""
    from crawler.extract.document import parse

    return lambda html, url: parse(html, content_type=None, url=url, max_links=5000, max_url_chars=2048).title


def builtin() -> Convert:
    """The default."""
    from crawler.extract.markdown import to_markdown

    return lambda html, url: to_markdown(html, url=url, converter="builtin")


def mended_markdownify() -> Convert:
    """`CRAWL_MARKDOWN=markdownify`: from our blocks."""
    from crawler.extract.markdown import to_markdown

    return lambda html, url: to_markdown(html, url=url, converter="markdownify")


def bare_markdownify() -> Convert:
    """As it comes, on lxml."""
    from bs4 import XMLParsedAsHTMLWarning
    from markdownify import MarkdownConverter

    # Documentation may be XHTML.
    warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)
    converter = MarkdownConverter(heading_style="ATX", bullets="*", autolinks=False, bs4_options="lxml")
    return lambda html, url: str(converter.convert(html))


def html_to_markdown() -> Convert:
    """With the options that scored best, and links made absolute by its own `base_url`."""
    from html_to_markdown import ConversionOptions, HeadingStyle, PreprocessingOptions, convert

    def convert_page(html: str, url: str) -> str:
        options = ConversionOptions(
            heading_style=HeadingStyle.ATX,
            autolinks=False,
            escape_asterisks=True,
            escape_underscores=True,
            escape_misc=True,
            extract_metadata=False,
            base_url=url,
            preprocessing=PreprocessingOptions(enabled=False, remove_navigation=False, remove_forms=False),
        )
        return convert(html, options).content or ""

    return convert_page


CONVERTERS: Mapping[str, Callable[[], Convert]] = {
    "lexbor alone": lexbor,
    "title, links, metadata": document,
    "html-to-markdown": html_to_markdown,
    "builtin": builtin,
    "markdownify on our blocks": mended_markdownify,
    "markdownify alone": bare_markdownify,
}


def main() -> None:
    """Convert and tell how long it took."""
    arguments = json.loads(sys.argv[1])
    pages: list[str] = json.loads(Path(arguments["pages"]).read_text())
    convert = CONVERTERS[arguments["converter"]]()
    # The first page loads what is loaded on first use.
    convert(pages[0], arguments["url"])
    started_at = time.process_time()
    made = [convert(page, arguments["url"]) for page in pages]
    seconds = time.process_time() - started_at
    Path(arguments["into"]).write_text(json.dumps(made))
    print(json.dumps({"pages": len(pages), "seconds": seconds}))


if __name__ == "__main__":
    main()
