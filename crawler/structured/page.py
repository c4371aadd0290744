"""One page -> its structured data, from a tree that somebody else has parsed."""

from __future__ import annotations

from selectolax.lexbor import LexborHTMLParser

from crawler.structured.addresses import resolve_address
from crawler.structured.data import StructuredData
from crawler.structured.json_ld import read_json_ld
from crawler.structured.marked import MICRODATA, RDFA, read_marked
from crawler.structured.tables import read_tables
from crawler.structured.texts import text_of

MAX_NAMED = 200
MAX_VALUE_CHARS = 1_024


def read_structured_data(parser: LexborHTMLParser, base_url: str) -> StructuredData:
    """Everything the page says in a form for machines; relative addresses are resolved against `base_url`."""
    scripts = [
        script.text() for script in parser.css("script[type]") if _is_json_ld(script.attributes.get("type"))
    ]
    pairs, tables = read_tables(parser)
    items = (
        *read_json_ld(scripts, base_url),
        *read_marked(parser, MICRODATA, base_url),
        *read_marked(parser, RDFA, base_url),
    )
    return StructuredData(items=items, named=_named(parser, base_url), pairs=pairs, tables=tables)


def _is_json_ld(kind: str | None) -> bool:
    return (kind or "").partition(";")[0].strip().lower() == "application/ld+json"


def _named(parser: LexborHTMLParser, base_url: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for meta in parser.css("meta[content]"):
        attributes = meta.attributes
        name = (attributes.get("property") or attributes.get("name") or "").strip().lower()
        value = (attributes.get("content") or "").strip()
        if name and value and len(named) < MAX_NAMED:
            named.setdefault(name[:100], resolve_address(name, value, base_url)[:MAX_VALUE_CHARS])
    title = parser.css_first("title")
    if title is not None and (text := text_of(title, MAX_VALUE_CHARS)):
        named["title"] = text
    canonical = parser.css_first('link[rel~="canonical"][href]')
    if canonical is not None and (address := canonical.attributes.get("href")):
        named["canonical"] = resolve_address("canonical", address.strip(), base_url)[:MAX_VALUE_CHARS]
    language = parser.root.attributes.get("lang") if parser.root is not None else None
    if language:
        named["language"] = language[:MAX_VALUE_CHARS]
    heading = parser.css_first("h1")
    if heading is not None and (text := text_of(heading, MAX_VALUE_CHARS)):
        named["h1"] = text
    return named
