"""What a page says about itself, whatever notation it chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: An item of schema.org or another vocabulary: local names of its types under `@type`, then lists of values by local
#: property name. A value is a text, a number, a boolean or another item.
Item = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class StructuredData:
    """All that was found, in document order. JSON values only, so that it can be sent between processes."""

    #: From JSON-LD, microdata and RDFa.
    items: tuple[Item, ...] = ()
    #: Open Graph and other `meta` by their full names (`og:title`), with `title`, `canonical` and `language`.
    named: Mapping[str, str] = field(default_factory=dict)
    #: Tables of two columns and definition lists: text by label.
    pairs: Mapping[str, str] = field(default_factory=dict)
    #: Rows of tables with a heading line: cell by column name.
    tables: tuple[tuple[Mapping[str, str], ...], ...] = ()
