"""A first pass over the XML of a sitemap: refuse what is hostile or broken, cut off what is too long.

It runs before any parser that builds objects, since a file of 50 MiB can hold millions of elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn
from xml.parsers import expat

#: Deepest element; feeds may carry HTML.
MAX_DEPTH: Final = 100
#: Elements per URL that are allowed on average, for example one per language of a page.
MAX_ELEMENTS_PER_URL: Final = 30
#: Sitemaps taken from one index, whatever a crawl may fetch of them.
MAX_CHILDREN: Final = 1_000
#: Documents in one file: an index and a list of pages that were glued together are seen in the wild.
MAX_DOCUMENTS: Final = 2

#: Root element -> element of one entry.
_ENTRIES = {"urlset": "url", "sitemapindex": "sitemap", "rss": "item", "feed": "entry"}


@dataclass(frozen=True, slots=True)
class BadSitemap:
    """Why a file is not used as a sitemap."""

    reason: str


def documents(text: str, *, max_urls: int) -> list[str] | BadSitemap:
    """Split `text` into its XML documents: each without DTD, and well-formed or cut after `max_urls` entries.

    usp takes what comes before a sudden end, so a cut needs no closing tags.
    """
    content = text.encode()
    found: list[str] = []
    while content and len(found) < MAX_DOCUMENTS:
        guard = _Guard(max_urls)
        end = guard.read(content)
        if isinstance(end, BadSitemap):
            # Junk after a good document does not spoil it.
            return found or end
        found.append(content[:end].decode())
        content = content[end:].strip() if not guard.is_cut else b""
    return found


class _Stop(Exception):
    """Ends the pass from within a callback of expat."""


class _Guard:
    def __init__(self, max_urls: int) -> None:
        self.is_cut = False
        self._problem = ""
        self._entries_left = max_urls
        self._elements_left = max_urls * MAX_ELEMENTS_PER_URL
        self._entry = ""
        self._entry_start = 0
        self._depth = 0
        # The text is UTF-8 by now, whatever its declaration says.
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def read(self, content: bytes) -> int | BadSitemap:
        """Go through one document and say where it ends or is to be cut."""
        try:
            self._parser.Parse(content, True)
        except _Stop:
            return self._entry_start if self.is_cut else BadSitemap(self._problem)
        except expat.ExpatError as error:
            if error.code == expat.errors.codes[expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]:
                return self._parser.ErrorByteIndex
            return BadSitemap(f"It is not well-formed: {error}.")
        return len(content)

    def _doctype(self, *_: object) -> None:
        self._refuse("It declares a DTD.")

    def _start(self, name: str, _: object) -> None:
        local = name.rpartition(":")[2]
        if self._depth == 0:
            self._open_root(local)
        elif local == self._entry:
            self._entry_start = self._parser.CurrentByteIndex
            self._entries_left -= 1
        self._elements_left -= 1
        if self._entries_left < 0 or self._elements_left < 0:
            self.is_cut = True
            raise _Stop
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"Its elements are nested more than {MAX_DEPTH} deep.")

    def _end(self, _: str) -> None:
        self._depth -= 1

    def _open_root(self, local: str) -> None:
        if local not in _ENTRIES:
            self._refuse(f"Its root element is <{local[:40]}>.")
        self._entry = _ENTRIES[local]
        if local == "sitemapindex":
            self._entries_left = min(self._entries_left, MAX_CHILDREN)

    def _refuse(self, reason: str) -> NoReturn:
        self._problem = reason
        raise _Stop
