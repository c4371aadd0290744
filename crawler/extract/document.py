"""One parse of a page: its title, its links, its metadata.

The parser (lexbor) follows the HTML Standard, so links are those that a browser without scripts would have. It is
quadratic on hostile nesting and on a tag with very many attributes; callers that hold an event loop go through
`crawler.extract.converter`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from crawler.changes import content_hash
from crawler.extract.content_type import is_xml
from crawler.extract.encoding import clean, decode
from crawler.extract.main_text import main_text
from crawler.extract.metadata import Metadata, MetaReader, shorten
from crawler.extract.shadow import parse_tree
from crawler.extract.xhtml import rewrite_as_html
from crawler.model import Link
from crawler.urls import resolve

MAX_BASE_CHARS = 8192

#: All that is looked at, in document order. Forms are never submitted, scripts never read.
_SELECTOR = "title, meta, link[href], a, area[href], frame[src], iframe[src]"
#: `link` relations whose target is a page of its own; `alternate` only where it is HTML (no feeds, no AMP data).
_PAGE_RELATIONS = frozenset(["next", "prev", "canonical"])
#: "Shared declarative refresh steps" of the HTML Standard: seconds, a separator, then perhaps `url=`.
_REFRESH = re.compile(
    r"\s*(?:[0-9]+(?:\.[0-9.]*)?|\.[0-9.]*)\s*[;,\s]\s*(?:url\s*=\s*)?(?:\"([^\"]*)|'([^']*)|(\S.*))",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Page:
    """What one parse tells. `links` are absolute http(s) URLs without fragment, each once, in document order."""

    html: str
    title: str
    links: tuple[Link, ...]
    #: References that were not looked at because `max_links` links had been found.
    links_dropped: int
    base_url: str
    metadata: Metadata
    #: Equal for two fetches of a page whose title and main text have not changed (`crawler.changes`); "": not known.
    content_hash: str = ""


def parse(
    html: str | bytes, *, content_type: str | None, url: str, max_links: int, max_url_chars: int
) -> Page:
    """Read a page. Bytes are decoded by `content_type` and what they declare, and both read as XHTML if it says so;
    `url` is the page's final URL."""
    text = decode(html, content_type) if isinstance(html, bytes) else clean(html)
    tree = parse_tree(rewrite_as_html(text) if is_xml(content_type) else text)
    return describe(tree, text, url=url, max_links=max_links, max_url_chars=max_url_chars)


def base_url_of(parser: LexborHTMLParser, url: str) -> str:
    """The document base URL (HTML Standard 2.4.3). A base that is no http(s) URL is passed over."""
    base = parser.css_first("base[href]")
    written = base.attributes["href"] if base is not None else None
    return (resolve(url, written, max_chars=MAX_BASE_CHARS) or url) if written else url


def describe(parser: LexborHTMLParser, text: str, *, url: str, max_links: int, max_url_chars: int) -> Page:
    """What the page `text` tells, which `parser` has read."""
    scan = _Scan()
    for node in parser.css(_SELECTOR):
        scan.read(node)
    base_url = base_url_of(parser, url)
    links, dropped = _links(scan.references, url, base_url, max_links, max_url_chars)
    about = {} if parser.root is None else parser.root.attributes
    language = about.get("lang") or about.get("xml:lang")
    return Page(
        html=text,
        title=scan.title or "",
        links=links,
        links_dropped=dropped,
        base_url=base_url,
        metadata=Metadata(
            language=shorten(language or ""),
            canonical=resolve(base_url, scan.canonical, max_chars=max_url_chars) or ""
            if scan.canonical
            else "",
            open_graph=scan.meta.open_graph,
            **scan.meta.named,
        ),
        content_hash=content_hash(scan.title or "", main_text(parser)),
    )


@dataclass(slots=True)
class _Scan:
    """What the nodes of `_SELECTOR` say, gathered in one pass because every touch of a node has its price."""

    title: str | None = None
    canonical: str | None = None
    #: Link targets as written, each once, in document order.
    references: dict[str, None] = field(default_factory=dict)
    meta: MetaReader = field(default_factory=MetaReader)

    def read(self, node: LexborNode) -> None:
        attributes = node.attributes
        reference: str | None = None
        match node.tag:
            case "a" | "area":
                reference = attributes.get("href") or attributes.get("xlink:href")
            case "frame" | "iframe":
                reference = attributes["src"]
            case "link":
                reference = self._read_link(attributes)
            case "meta":
                reference = self._read_meta(attributes)
            case "title" if self.title is None and not _is_in_svg(node):
                self.title = shorten(node.text())
        if reference:
            self.references[reference] = None

    def _read_link(self, attributes: Mapping[str, str | None]) -> str | None:
        target = attributes["href"]
        relations = set((attributes.get("rel") or "").lower().split())
        if "canonical" in relations and self.canonical is None:
            self.canonical = target
        if "alternate" in relations:
            kind = (attributes.get("type") or "text/html").lower()
            return target if kind == "text/html" and "stylesheet" not in relations else None
        return target if relations & _PAGE_RELATIONS else None

    def _read_meta(self, attributes: Mapping[str, str | None]) -> str | None:
        content = attributes.get("content") or ""
        self.meta.read(attributes, content)
        is_refresh = (attributes.get("http-equiv") or "").lower() == "refresh"
        return _refresh_target(content) if is_refresh else None


def _links(
    references: Iterable[str], url: str, base_url: str, max_links: int, max_url_chars: int
) -> tuple[tuple[Link, ...], int]:
    """The first `max_links` links, and how many references were not looked at any more."""
    pending = list(references)
    own_url = resolve(url, "", max_chars=max_url_chars)
    found: dict[str, None] = {}
    for index, reference in enumerate(pending):
        if len(found) == max_links:
            return tuple(Link(link) for link in found), len(pending) - index
        link = resolve(base_url, reference, max_chars=max_url_chars)
        if link is not None and link != own_url:
            found[link] = None
    return tuple(Link(link) for link in found), 0


def _refresh_target(content: str) -> str | None:
    match = _REFRESH.match(content)
    return next((group for group in match.groups() if group is not None), None) if match else None


def _is_in_svg(node: LexborNode) -> bool:
    """The title of a drawing is not the title of the page."""
    parent = node.parent
    while parent is not None:
        if parent.tag == "svg":
            return True
        parent = parent.parent
    return False
