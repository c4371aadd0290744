"""RSS and Atom by feedparser: a page with a heading and a link for every entry."""

from __future__ import annotations

import io
from html import escape
from typing import Any

import feedparser

from crawler.extract.encoding import clean
from crawler.extract.formats.content import BadDocument, Content, Limits, parse_html, read_html
from crawler.extract.markdown import write
from crawler.extract.metadata import Metadata, shorten

MAX_ENTRIES = 5_000


def read_feed(body: bytes, url: str, content_type: str, limits: Limits) -> Content:
    """The entries of a feed; their links are the document's. Raises BadDocument when it is no feed, or declares
    entities of its own: no real feed does, and those that do are bombs."""
    if b"<!ENTITY" in body.replace(b"\0", b""):
        raise BadDocument("declares entities")
    parsed = _parse(body, url, content_type)
    about = parsed.feed
    entries = parsed.entries[:MAX_ENTRIES]
    if not parsed.version:
        raise BadDocument("neither RSS nor Atom")
    title = shorten(_text(about, "title"))
    description = _html(about, "subtitle")
    head = f"<h1>{escape(title)}</h1><div>{description}</div>" if title or description else ""
    # Each by itself: what an entry leaves open would swallow the next.
    parts = [read_html(clean(html), url, limits) for html in (head, *map(_entry, entries))]
    metadata = Metadata(
        description=shorten(_text(about, "subtitle")),
        language=shorten(clean(about.get("language", ""))),
        author=shorten(clean(about.get("author", ""))),
        published=shorten(about.get("published", "")),
        modified=shorten(about.get("updated", "")),
    )
    home = [clean(about["link"])] if str(about.get("link", "")).startswith(("http://", "https://")) else []
    links = tuple(dict.fromkeys([*home, *(link for part in parts for link in part.links)]))
    markdown = write([block for part in parts for block in part.blocks], limits.converter)
    return Content(title, markdown, sum(part.words for part in parts), links[: limits.max_links], metadata)


def _parse(body: bytes, url: str, content_type: str) -> Any:
    """The one place that knows feedparser. On hostile input it may raise whatever its parsers raise."""
    headers = {"content-type": content_type, "content-location": url}
    # A stream: bytes that are the name of a file here would be taken for that file.
    stream = io.BytesIO(body)
    try:
        return feedparser.parse(stream, response_headers=headers)
    except MemoryError:
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise BadDocument(message) from error


def _entry(entry: Any) -> str:
    """An entry as HTML: its heading, its date, its text."""
    link = entry.get("link", "")
    title = escape(_text(entry, "title") or link)
    head = f'<a href="{escape(link)}">{title}</a>' if link else title
    moment = entry.get("published", "") or entry.get("updated", "")
    contents = entry.get("content", [])
    text = _as_html(contents[0].get("value", ""), contents[0]) if contents else _html(entry, "summary")
    return f"<h2>{head}</h2><p>{escape(moment)}</p><div>{text}</div>"


def _text(about: Any, name: str) -> str:
    """The text that the text of this name in a feed or an entry shows, without its markup."""
    body = parse_html(clean(_html(about, name))).body
    return "" if body is None else body.text()


def _html(about: Any, name: str) -> str:
    """The text of this name in a feed or an entry, as HTML."""
    return _as_html(about.get(name, ""), about.get(f"{name}_detail"))


def _as_html(text: str, detail: Any) -> str:
    """A text as HTML. `detail` says its type: Atom's is plain unless it says otherwise (RFC 4287, 3.1.1), RSS says
    nothing, its descriptions are HTML by custom and feedparser guesses what its titles are."""
    # An element of a feed may be called like the detail, and then it is no mapping.
    is_plain = isinstance(detail, dict) and detail.get("type") == "text/plain"
    return escape(text) if is_plain else text
