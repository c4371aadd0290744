"""RSS and Atom by feedparser: a page with a heading and a link for every entry."""

from __future__ import annotations

import io
from html import escape
from typing import Any

import feedparser

from crawler.extract.encoding import clean
from crawler.extract.formats.content import BadDocument, Content, Limits, from_html
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
    title = shorten(clean(about.get("title", "")))
    description = clean(about.get("subtitle", ""))
    html = [f"<h1>{escape(title)}</h1><p>{description}</p>" if title or description else ""]
    html += [_entry(entry) for entry in entries]
    page, content = from_html(clean("".join(html)), url, limits)
    metadata = Metadata(
        description=shorten(description),
        language=shorten(clean(about.get("language", ""))),
        author=shorten(clean(about.get("author", ""))),
        published=shorten(about.get("published", "")),
        modified=shorten(about.get("updated", "")),
    )
    links = [link.url for link in page.links]
    home = [clean(about["link"])] if str(about.get("link", "")).startswith(("http://", "https://")) else []
    unique = tuple(dict.fromkeys([*home, *links]))
    return Content(title, content.markdown, content.words, unique[: limits.max_links], metadata)


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
    title = escape(entry.get("title", "") or entry.get("link", ""))
    link = entry.get("link", "")
    head = f'<a href="{escape(link)}">{title}</a>' if link else title
    moment = entry.get("published", "") or entry.get("updated", "")
    contents = [part.get("value", "") for part in entry.get("content", [])]
    text = contents[0] if contents else entry.get("summary", "")
    return f"<h2>{head}</h2><p>{escape(moment)}</p><div>{text}</div>"
