"""The process that reads hostile HTML: `python -m crawler.extract.child`, started by `crawler.extract.converter`."""

from __future__ import annotations

import signal
from dataclasses import asdict
from typing import Any

from crawler.changes import content_hash
from crawler.extract.document import base_url_of, describe
from crawler.extract.markdown import convert
from crawler.extract.plain import is_too_deep, plain_text, plain_title
from crawler.extract.serving import Options, serve
from crawler.extract.shadow import parse_tree
from crawler.extract.view import View
from crawler.extract.xhtml import rewrite_as_html
from crawler.structured.page import read_structured_data

#: CPU time for parsing one page. Real pages of 10 MiB need a second.
PARSE_SECONDS = 5.0


def answer(header: dict[str, Any], body: bytes, options: Options) -> tuple[dict[str, Any], str]:
    """The page, its Markdown and its structured data if asked for; `is_plain` asks for what needs no parser."""
    html = body.decode()
    if header["is_xml"]:
        html = rewrite_as_html(html)
    if header["is_plain"] or is_too_deep(html):
        title, text = plain_title(html), plain_text(html)
        plain = {"title": title, "content_hash": content_hash(title, text)}
        return {"page": plain, "is_plain": True, "words": len(text.split())}, text if header["view"] else ""
    url = header["url"]
    # The parser holds the interpreter: only a signal with its default action, death, can end it.
    signal.setitimer(signal.ITIMER_VIRTUAL, PARSE_SECONDS)
    parser = parse_tree(html)
    limits = {"max_links": options["max_links"], "max_url_chars": options["max_url_chars"]}
    found = describe(parser, "", url=url, **limits)
    page: dict[str, Any] = asdict(found) | {"links": [link.url for link in found.links]}
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if header["structured"]:
        # Before the converter, which may take the tree apart.
        page["structured"] = asdict(read_structured_data(parser, base_url_of(parser, url)))
    if header["view"] is None:
        return {"page": page, "is_plain": False, "words": None}, ""
    made = convert(
        parser,
        base_url=base_url_of(parser, url),
        converter=options["converter"],
        view=View(**header["view"]),
    )
    return {"page": page, "is_plain": False, "words": made.words}, made.markdown


if __name__ == "__main__":
    serve(answer)
