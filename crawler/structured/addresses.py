"""Properties whose values are addresses, by their names in vocabularies, in meta data and in schemas."""

from __future__ import annotations

import re

from crawler.structured.coercion import normal

#: How such names end: `thumbnailUrl`, `og:image`, `twitter:image:src`, `company_logo`, `photos`.
_ENDING = re.compile(r"(?:url|link|href|src|canonical|sameas|image|photo|thumbnail|logo)s?$")


def is_address(name: str) -> bool:
    """Whether the values of a property with this name, however it is written, are addresses."""
    return _ENDING.search(normal(name)) is not None
