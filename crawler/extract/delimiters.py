"""How each mark is written: whether `*` opens emphasis depends on the characters around it (CommonMark 6.2).

`_` and `**` where they stand free, `*` inside words, and an HTML tag in the few places where no delimiter works.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from crawler.extract.escape import destination, title_part
from crawler.extract.pieces import Piece, Span

#: By name: outside and inside another mark of the same name.
_DELIMITERS = {"em": ("_", "*"), "strong": ("**", "__"), "del": ("~~", "~~")}


def choose_delimiters(pieces: Sequence[Piece]) -> None:
    """Set `before` and `after` of every span in `pieces`."""
    for piece in pieces:
        if piece.kind == "open" and piece.span is not None:
            _set_default(piece.span)
    index = 0
    while index < len(pieces):
        end = index + 1
        if _is_emphasis(pieces[index]):
            while end < len(pieces) and pieces[end].kind == pieces[index].kind and _is_emphasis(pieces[end]):
                end += 1
            _fit_run(pieces, index, end)
        index = end
    for left, right in pairwise(pieces):
        if _is_emphasis(left) and _is_emphasis(right) and _side(left)[-1] == _side(right)[0]:
            # One run of delimiters would be read as another pair than was meant.
            _set_tags(right.span if right.kind == "open" else left.span)


def _set_default(span: Span) -> None:
    name = span.mark.name
    if name == "a":
        span.before, span.after = "[", f"]({destination(span.mark.href)}{title_part(span.mark.title)})"
    elif name in _DELIMITERS and span.level < 2:
        span.before = span.after = _DELIMITERS[name][span.level]
    else:
        _set_tags(span)


def _set_tags(span: Span | None) -> None:
    assert span is not None
    span.before, span.after = f"<{span.mark.name}>", f"</{span.mark.name}>"


def _fit_run(pieces: Sequence[Piece], begin: int, end: int) -> None:
    """Look at the run of delimiters `pieces[begin:end]`, all opening or all closing.

    Next to a blank or punctuation every delimiter works. Next to a word only a `*` does, and only if there is a word on
    its other side too, and no more delimiters.
    """
    before = _class_of_end(pieces[begin - 1]) if begin else "space"
    after = _class_of_start(pieces[end]) if end < len(pieces) else "space"
    is_opening = pieces[begin].kind == "open"
    outside, inside = (before, after) if is_opening else (after, before)
    if outside != "word":
        return
    outermost = (pieces[begin] if is_opening else pieces[end - 1]).span
    assert outermost is not None
    if inside != "word" or end - begin > 1 or (outermost.before[0] == "_" and _is_among_its_own(outermost)):
        _set_tags(outermost)
    elif outermost.before == "_":
        outermost.before = outermost.after = "*"


def _is_among_its_own(span: Span) -> bool:
    return span.has_inner or span.level > 0


def _is_emphasis(piece: Piece) -> bool:
    return piece.span is not None and piece.mark.name in _DELIMITERS


def _side(piece: Piece) -> str:
    assert piece.span is not None
    return piece.span.before if piece.kind == "open" else piece.span.after


def _class_of_end(piece: Piece) -> str:
    return _class_of(piece, -1)


def _class_of_start(piece: Piece) -> str:
    return _class_of(piece, 0)


def _class_of(piece: Piece, position: int) -> str:
    """What kind of character a piece begins or ends with, as CommonMark 6.2 divides them."""
    if piece.kind == "break":
        return "space"
    if piece.kind not in ("text", "raw"):
        return "punctuation"
    character = piece.text[position]
    if character.isspace():
        return "space"
    return "punctuation" if unicodedata.category(character)[0] in "PS" else "word"
