"""What an Office file says about itself: the core properties of its package (ECMA-376-2), read by expat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from xml.parsers import expat

#: What the elements, by namespace and name, are called here.
_NAMES: Mapping[str, str] = {
    "http://purl.org/dc/elements/1.1/ title": "title",
    "http://purl.org/dc/elements/1.1/ creator": "author",
    "http://purl.org/dc/terms/ created": "published",
    "http://purl.org/dc/terms/ modified": "modified",
}


class _HasDoctype(Exception):
    """Ends the reading from within a callback of expat."""


def read_properties(part: bytes) -> Mapping[str, str]:
    """The title, author and dates in a part of core properties, by the names in `_NAMES`.

    Nothing of a part that is damaged, or has a DTD: the standard allows none, and entities are bombs.
    """
    texts = defaultdict[str, list[str]](list)
    current = ""

    def start(name: str, _: object) -> None:
        nonlocal current
        current = _NAMES.get(name, "")

    def end(_: str) -> None:
        nonlocal current
        current = ""

    def read(text: str) -> None:
        if current:
            texts[current].append(text)

    def refuse(*_: object) -> None:
        raise _HasDoctype

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = read
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(part, True)
    except (expat.ExpatError, _HasDoctype):
        return {}
    except (LookupError, ValueError):  # an encoding that Python lacks
        return {}
    return {name: "".join(pieces) for name, pieces in texts.items()}
