"""Properties whose values are addresses, by their names in vocabularies, in meta data and in schemas."""

from __future__ import annotations

import re

from crawler.structured.coercion import normal
from crawler.urls import resolve

MAX_ADDRESS_CHARS = 2_048
#: How such names end: `thumbnailUrl`, `og:image`, `twitter:image:src`, `company_logo`, `photos`.
_ENDING = re.compile(r"(?:url|link|href|src|canonical|sameas|image|photo|thumbnail|logo)s?$")
#: More than the longest of them, with what separates its words: a page may give names of any length.
_MAX_ENDING_CHARS = 20
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def is_address(name: str) -> bool:
    """Whether the values of a property with this name, however it is written, are addresses."""
    return _ENDING.search(normal(name[-_MAX_ENDING_CHARS:])) is not None


def resolve_address(name: str, value: str, base_url: str) -> str:
    """A relative address in a property that holds addresses as an absolute one; any other value as it is."""
    if not value or _SCHEME.match(value) or not is_address(name):
        return value
    return resolve(base_url, value, max_chars=MAX_ADDRESS_CHARS) or value
