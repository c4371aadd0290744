"""What a page says about itself, from its `meta` elements, and how a record shows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # For its types only: the processes that read pages start without it.
    from pydantic import JsonValue

#: Longest title, and longest value of any other metadata.
MAX_META_CHARS = 1024
MAX_OPEN_GRAPH = 50

#: Names in use for the same thing, as `property`, `name` or `itemprop` have them in lower case.
_FIELDS: Mapping[str, str] = {
    "description": "description",
    "robots": "robots",
    **dict.fromkeys(["author", "article:author", "dc.creator", "dcterms.creator", "citation_author"], "author"),
    **dict.fromkeys(
        [
            "article:published_time", "datepublished", "date", "pubdate", "dc.date", "dcterms.created",
            "dcterms.issued", "citation_publication_date", "parsely-pub-date",
        ],
        "published",
    ),
    **dict.fromkeys(
        ["article:modified_time", "datemodified", "og:updated_time", "last-modified", "dcterms.modified"],
        "modified",
    ),
}  # fmt: skip
_COMPACT_DATE = re.compile(r"\d{4}/\d{1,2}/\d{1,2}")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a page says about itself. Texts are cut at `MAX_META_CHARS`; absent is empty."""

    description: str = ""
    language: str = ""
    canonical: str = ""
    #: The `robots` meta, as written: recorded, not obeyed here.
    robots: str = ""
    author: str = ""
    #: As written.
    published: str = ""
    modified: str = ""
    open_graph: Mapping[str, str] = field(default_factory=dict)

    def to_details(self) -> dict[str, JsonValue]:
        """The members of a record that tell this; what is not known is left out."""
        found: dict[str, JsonValue] = {
            "description": self.description or self.open_graph.get("og:description", ""),
            "language": self.language,
            "canonical": self.canonical,
            "robots": self.robots,
            "author": self.author,
            "publishedAt": to_iso(self.published),
            "modifiedAt": to_iso(self.modified),
            "openGraph": {name.removeprefix("og:"): text for name, text in self.open_graph.items()},
        }
        return {name: value for name, value in found.items() if value}


@dataclass(slots=True)
class MetaReader:
    """Gathers what `meta` elements say, in document order: the first of several counts."""

    named: dict[str, str] = field(default_factory=dict)
    open_graph: dict[str, str] = field(default_factory=dict)

    def read(self, attributes: Mapping[str, str | None], content: str) -> None:
        """One `meta` element."""
        name = attributes.get("property") or attributes.get("name") or attributes.get("itemprop")
        if not name or not content:
            return
        key = name[:MAX_META_CHARS].strip().lower()
        known = _FIELDS.get(key)
        if known is not None:
            # Some name an author by the address of a profile, which is no name.
            if known != "author" or not content.startswith(("http://", "https://")):
                self.named.setdefault(known, shorten(content))
        elif key.startswith("og:") and len(self.open_graph) < MAX_OPEN_GRAPH:
            self.open_graph.setdefault(key, shorten(content))


def shorten(text: str) -> str:
    """Text in one line of at most `MAX_META_CHARS`."""
    # The first slice keeps a title of megabytes cheap; white space may use up part of it, which is no loss.
    return " ".join(text[: 8 * MAX_META_CHARS].split())[:MAX_META_CHARS]


def to_iso(text: str) -> str:
    """A moment as ISO 8601, from that form or from the one of mail (RFC 5322); empty if it is neither."""
    if _COMPACT_DATE.fullmatch(text):
        text = "-".join(part.zfill(2) for part in text.split("/"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # a number that no clock has
            return ""
    if moment.tzinfo is None:
        return moment.date().isoformat() if len(text) <= len("2026-01-31") else moment.isoformat()
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:  # the year 1 or 9999, somewhere east or west
        return ""
