"""Sitemaps: XML, index, RSS, Atom or plain text, gzipped or not, from bytes to URLs.

ultimate-sitemap-parser does the reading; it is given text only, so it never fetches. What it would stumble over is
settled before it sees the text: `sitemap_guard` refuses XML that is hostile or broken and cuts what is too long,
and `_corrected` rewrites the two things that it misreads. Takes about 2 s of CPU per 50,000 URLs: run it in a thread.
"""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

import webencodings

from crawler import urls
from crawler.sitemap_guard import BadSitemap, documents

if TYPE_CHECKING:
    from usp.objects.sitemap import AbstractSitemap

__all__ = ["BadSitemap", "Sitemap", "SitemapEntry", "parse"]

#: Largest sitemap, decoded, that the protocol allows.
MAX_BYTES: Final = 50 << 20
#: And its longest URL.
MAX_URL_CHARS: Final = 2_048

_GZIP_MAGIC = b"\x1f\x8b"
_DECLARED_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}encoding=["']([\w.:-]{1,40})["']""")
_HTTP_URL = re.compile(r"https?://\S+", re.IGNORECASE)

_AMPERSAND = re.compile(r"<!\[CDATA\[.*?\]\]>|&(?:amp|#38|#x26);", re.DOTALL)
_DATE = re.compile(
    r"(?P<tag><(?:[\w.-]+:)?(?P<name>lastmod|publication_date|pubDate|issued|published|updated)(?:\s[^>]*)?>)"
    r"(?P<date>.*?)(?=</)",
    re.DOTALL,
)
_YEAR_OR_MONTH = re.compile(r"\d{4}(-\d\d)?")


@dataclass(frozen=True, slots=True)
class SitemapEntry:
    """One page of a sitemap: serialised http(s) URL of any host; aware time of change; priority from 0 to 1."""

    url: str
    lastmod: datetime | None
    priority: float


@dataclass(frozen=True, slots=True)
class Sitemap:
    """What one file lists, each URL once: pages by falling priority, then in file order; sitemaps in file order."""

    pages: tuple[SitemapEntry, ...]
    children: tuple[str, ...]


def parse(
    body: bytes, *, url: str, max_urls: int, max_bytes: int = MAX_BYTES, max_url_chars: int = MAX_URL_CHARS
) -> Sitemap | BadSitemap:
    """Read the sitemap that was fetched from `url` (sitemaps.org protocol, RSS 2.0, Atom, plain text).

    At most `max_urls` entries are taken from its beginning; those that are no http(s) URL of `max_url_chars` or less
    are left out. BadSitemap when it decodes to more than `max_bytes`, is no sitemap, is cut off, or declares a DTD.
    """
    data = _unzipped(body, max_bytes)
    if isinstance(data, BadSitemap):
        return data
    contents = _contents(_decoded(data).lstrip(), max_urls)
    if isinstance(contents, BadSitemap):
        return contents
    pages: dict[str, SitemapEntry] = {}
    children: dict[str, None] = {}
    for content in contents:
        found = _read(content)
        if isinstance(found, BadSitemap):
            return found
        for page in found.pages:
            href = urls.resolve(url, page.url, max_chars=max_url_chars)
            if href is not None and href not in pages:
                pages[href] = SitemapEntry(href, page.last_modified or None, float(page.priority))
        # Having no client to fetch them with, usp lists the children of an index as invalid sitemaps.
        for child in found.sub_sitemaps:
            href = urls.resolve(url, child.url, max_chars=max_url_chars)
            if href is not None and href != url:
                children[href] = None
    by_priority = sorted(pages.values(), key=lambda page: -page.priority)
    return Sitemap(tuple(by_priority[:max_urls]), tuple(children))


def _contents(text: str, max_urls: int) -> list[str] | BadSitemap:
    """What of a file is fit to be read, as one or more documents for usp."""
    if text.startswith("<"):
        found = documents(text, max_urls=max_urls)
        return found if isinstance(found, BadSitemap) else [_corrected(content) for content in found]
    lines = (line for line in map(str.strip, text.splitlines()) if _HTTP_URL.fullmatch(line))
    first = list(islice(lines, max_urls))
    return ["\n".join(first)] if first else BadSitemap("It contains no URL.")


def _read(content: str) -> AbstractSitemap | BadSitemap:
    """Let usp read one document."""
    # Loaded by the first sitemap: with the HTTP client that it would fetch with, it takes as long as all our own code.
    from usp.fetch_parse import SitemapStrParser  # noqa: PLC0415

    # usp logs a line for each oddity that it meets; a hostile file would fill a disk with them.
    logging.getLogger("usp").setLevel(logging.CRITICAL + 1)
    try:
        return SitemapStrParser(content).sitemap()
    except (
        Exception
    ) as error:  # usp documents none, but those of the date parser and of its temporary file pass
        return BadSitemap(f"It cannot be read: {type(error).__name__}.")


def _unzipped(body: bytes, max_bytes: int) -> bytes | BadSitemap:
    """Undo one layer of gzip, which is known by its first bytes: names and headers are often wrong about it."""
    if body.startswith(_GZIP_MAGIC):
        decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            body = decoder.decompress(body, max_bytes + 1)
        except zlib.error:
            return BadSitemap("It is not valid gzip.")
        if not decoder.eof and len(body) <= max_bytes:
            return BadSitemap("It is cut off.")
    return body if len(body) <= max_bytes else BadSitemap(f"It is larger than {max_bytes} bytes.")


def _decoded(data: bytes) -> str:
    """Text by byte order mark, else by XML declaration, else UTF-8."""
    declared = _DECLARED_ENCODING.match(data.lstrip()[:200])
    encoding = webencodings.lookup(declared[1].decode()) if declared else None
    text, _ = webencodings.decode(data, encoding or webencodings.UTF8, errors="replace")
    # XML has no NUL; without them UTF-16 that does not say so reads as the ASCII that it nearly always is.
    return text.replace("\0", "")


def _corrected(content: str) -> str:
    """Rewrite what usp would misread."""
    # It undoes HTML entities after XML ones, so that `?a=1&amp;copy=2` would become `?a=1©=2`: escape once more.
    content = _AMPERSAND.sub(
        lambda match: match[0].replace("&", "&amp;") if match[0][0] == "<" else "&amp;amp;", content
    )
    # It guesses at dates, with today's date for the missing parts, and gives up the whole file at some of them. The
    # dates of feeds say when a page was published, not when it changed.
    return _DATE.sub(
        lambda match: match["tag"] + (_iso(match["date"]) if match["name"] == "lastmod" else ""),
        content,
    )


def _iso(text: str) -> str:
    """A W3C date in its full form, in UTC when it names no zone; empty when it is no date."""
    text = text.strip().removeprefix("<![CDATA[").removesuffix("]]>").strip()
    match = _YEAR_OR_MONTH.fullmatch(text)
    if match is not None:
        text += "-01" if match[1] else "-01-01"
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).isoformat()
