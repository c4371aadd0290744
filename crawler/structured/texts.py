"""The text of an element, cut before it costs much: elements may be nested thousands deep."""

from __future__ import annotations

from selectolax.lexbor import LexborNode

#: Nodes looked at for one text.
MAX_NODES = 500
_SKIPPED = frozenset({"script", "style", "template", "noscript"})

_BREAKS = frozenset(
    {"br", "p", "div", "li", "td", "th", "tr", "dd", "dt", "h1", "h2", "h3", "h4", "h5", "h6"}
)


def text_of(node: LexborNode, max_chars: int) -> str:
    """At most `max_chars` characters of the text below `node`, with white space as HTML shows it."""
    parts: list[str] = []
    chars = 0
    for number, below in enumerate(node.traverse(include_text=True)):
        if chars > max_chars * 2 or number > MAX_NODES:
            break
        if below.tag != "-text":
            # A space between blocks: cells and lines are no one word.
            parts.append(" " if below.tag in _BREAKS else "")
            continue
        parent = below.parent
        if parent is not None and parent.tag in _SKIPPED:
            continue
        text = below.text_content or ""
        parts.append(text)
        chars += len(text)
    return " ".join("".join(parts).split())[:max_chars]
