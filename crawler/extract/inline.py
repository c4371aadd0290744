"""Inline tokens as one line of Markdown, or several where it has hard breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crawler.extract.blocks import Inline
from crawler.extract.delimiters import choose_delimiters
from crawler.extract.escape import code_span, escape_line_start, escape_text
from crawler.extract.pieces import SPACE, Piece, arrange

HARD_BREAK = "  \n"


def write_inline(tokens: Sequence[Inline], *, line_break: str = HARD_BREAK) -> str:
    """Markdown for the text of one block. `line_break` is how a `Break` is written."""
    if len(tokens) == 1 and isinstance(tokens[0], str):
        # Most blocks are nothing but text: the same as below, at a tenth of its cost.
        text = SPACE.sub(" ", tokens[0]).lstrip(" ").rstrip()
        return escape_line_start(escape_text(text, is_in_link=False))
    pieces = arrange(tokens)
    choose_delimiters(pieces)
    return "".join(_written(pieces, line_break))


def _written(pieces: Sequence[Piece], line_break: str) -> Iterator[str]:
    """The pieces as text. Text at the start of a line is looked at once more for what would begin a block."""
    links = 0
    is_line_start = True
    for number, piece in enumerate(pieces):
        text = piece.text
        match piece.kind:
            case "text":
                text = escape_text(text, is_in_link=links > 0)
                follower = pieces[number + 1] if number + 1 < len(pieces) else None
                if is_line_start:
                    text = escape_line_start(text)
                if text.endswith("!") and follower is not None and follower.kind == "open":
                    text = f"{text[:-1]}\\!"
            case "code":
                text = code_span(text)
            case "break":
                text = text if text and line_break == HARD_BREAK else line_break
            case "open":
                assert piece.span is not None
                text = piece.span.before
                links += piece.span.mark.name == "a"
            case "close":
                assert piece.span is not None
                text = piece.span.after
                links -= piece.span.mark.name == "a"
            case "raw":
                pass
        is_line_start = piece.kind == "break" or (is_line_start and text.isspace())
        yield text
