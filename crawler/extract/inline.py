"""Inline tokens as one line of Markdown (or several, where it has hard breaks).

Whether `*` opens emphasis depends on the characters around it (CommonMark 6.2). So blanks are moved out of the marks
first; then each delimiter is chosen by its neighbours: `_` and `**` where they stand free, `*` inside words, and an
HTML tag in the few places where no delimiter works.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from crawler.extract.blocks import Break, Checkbox, End, Image, Inline, Mark, Math, Meaning
from crawler.extract.escape import code_span, destination, escape_line_start, escape_text, title_part

HARD_BREAK = "  \n"

_SPACE = re.compile(r"[ \t\r\n\f]+")
_EMPHASIS = frozenset(["em", "strong", "del"])


@dataclass(slots=True, eq=False)
class Piece:
    """Something that is written: text, code, finished Markdown (`raw`), a break, or one side of a mark.

    A side of a mark has its `span`. Text and code are as in the page, not escaped. A break of more than one line has
    text.
    """

    kind: Literal["text", "code", "raw", "break", "open", "close"]
    text: str = ""
    span: Span | None = None

    @property
    def mark(self) -> Mark:
        """The mark that this is a side of."""
        assert self.span is not None
        return self.span.mark


@dataclass(slots=True, eq=False)
class Span:
    """A mark that holds something, and how its two sides are written."""

    mark: Mark
    before: str
    after: str


def write_inline(tokens: Sequence[Inline], *, line_break: str = HARD_BREAK) -> str:
    """Markdown for the text of one block. `line_break` is how a `Break` is written."""
    if len(tokens) == 1 and isinstance(tokens[0], str):
        # Most blocks are nothing but text: the same as below, at a tenth of its cost.
        text = _SPACE.sub(" ", tokens[0]).lstrip(" ").rstrip()
        return escape_line_start(escape_text(text, is_in_link=False))
    pieces = arrange(tokens)
    _choose_delimiters(pieces)
    return "".join(_written(pieces, line_break))


def arrange(tokens: Iterable[Inline]) -> list[Piece]:
    """Tokens as pieces, with the blanks between them where they belong."""
    return _Arrangement(tokens).pieces


class _Arrangement:
    """Tokens as pieces without superfluous blanks, empty marks and needless delimiters.

    Blanks and opening marks wait until something follows that is shown; closing marks do not. So no mark ever begins
    or ends with a blank, and one that holds nothing never appears.
    """

    def __init__(self, tokens: Iterable[Inline]) -> None:
        self.pieces: list[Piece] = []
        self._blanks = ""
        self._breaks = 0
        self._waiting: list[Mark] = []
        self._open: list[Span] = []
        #: Code that is under way, else None.
        self._code: str | None = None
        for token in tokens:
            self._take(token)

    def _take(self, token: Inline) -> None:
        if isinstance(token, str):
            if self._code is None:
                self._take_text(_SPACE.sub(" ", token))
            else:
                self._code += token
        elif isinstance(token, Mark):
            self._start(token)
        elif isinstance(token, End):
            self._end(token.mark)
        else:
            self._end_code()
            self._take_whole(token)

    def _take_whole(self, token: Image | Break | Checkbox | Meaning | Math) -> None:
        match token:
            case Break():
                self._blanks = ""
                self._breaks += bool(self.pieces)
            case Image(source, alt, title):
                text = escape_text(_SPACE.sub(" ", alt).strip(), is_in_link=True)
                self._show(Piece("raw", f"![{text}]({destination(source)}{title_part(title)})"))
            case Checkbox(is_checked):
                self._show(Piece("raw", "[x] " if is_checked else "[ ] "))
            case Meaning():
                self._blanks, self._breaks = "", 0
                self._show(Piece("raw", "\n: "))
            case Math(tex):
                self._show(Piece("raw", f"${tex}$"))

    def _take_text(self, text: str) -> None:
        core = text.lstrip()
        self._wait(text[: len(text) - len(core)])
        if core:
            shown = core.rstrip()
            self._show(Piece("text", shown))
            self._wait(core[len(shown) :])

    def _take_code(self, text: str) -> None:
        """Code keeps its blanks, unless one of them is what parts it from the word before or after it."""
        last = self.pieces[-1] if self.pieces and not self._breaks else None
        if last is not None and last.kind != "code" and not self._blanks and text[:1] == " " != text[-1:]:
            self._wait(" ")
            text = text[1:]
        if text[-1:] == " " != text[:1]:
            self._show(Piece("code", text[:-1]))
            self._wait(" ")
        elif text:
            self._show(Piece("code", text))

    def _wait(self, blanks: str) -> None:
        """Keep blanks for later. No-break spaces count each, others once and not at the start of a line."""
        for blank in blanks:
            last = self.pieces[-1] if self.pieces and not self._breaks else None
            is_line_start = last is None or (last.kind in ("text", "raw") and last.text.endswith(" "))
            if blank != " " or not (self._blanks.endswith(" ") or (is_line_start and not self._blanks)):
                self._blanks += blank

    def _start(self, mark: Mark) -> None:
        if mark.name == "code":
            self._code = ""
        elif self._code is None:
            self._waiting.append(mark)
        elif mark.name == "a":
            self._end_code()
            self._waiting.append(mark)

    def _end(self, mark: Mark) -> None:
        if self._code is not None and mark.name not in ("code", "a"):
            return
        self._end_code()
        if mark.name == "code":
            self._code = None
        elif self._waiting and self._waiting[-1] is mark:
            self._waiting.pop()
        elif self._open and self._open[-1].mark is mark:
            self.pieces.append(Piece("close", span=self._open.pop()))

    def _end_code(self) -> None:
        """Write the code so far. More of it may follow, behind a link or a line break."""
        if self._code:
            self._take_code(_SPACE.sub(" ", self._code))
            self._code = ""

    def _show(self, piece: Piece) -> None:
        if self._breaks:
            self.pieces.append(Piece("break", "\n\n" if self._breaks > 1 else ""))
        if self._blanks:
            self.pieces.append(Piece("text", self._blanks))
        for mark in self._waiting:
            self._begin(mark)
        is_joined = not (self._breaks or self._blanks or self._waiting) and bool(self.pieces)
        self._blanks, self._breaks = "", 0
        self._waiting.clear()
        if is_joined and piece.kind == self.pieces[-1].kind and piece.kind in ("text", "code"):
            self.pieces[-1].text += piece.text
        else:
            self.pieces.append(piece)

    def _begin(self, mark: Mark) -> None:
        last = self.pieces[-1] if self.pieces else None
        if (
            last is not None
            and last.kind == "close"
            and last.span
            and last.span.mark.name == mark.name != "a"
        ):
            # Two of a kind side by side would make one run of delimiters: they are one.
            self.pieces.pop()
            last.span.mark = mark
            self._open.append(last.span)
            return
        level = sum(span.mark.name == mark.name for span in self._open)
        span = Span(mark, *_delimiters(mark, is_inner=level % 2 == 1))
        self._open.append(span)
        self.pieces.append(Piece("open", span=span))


def _delimiters(mark: Mark, *, is_inner: bool) -> tuple[str, str]:
    match mark.name:
        case "a":
            return "[", f"]({destination(mark.href)}{title_part(mark.title)})"
        case "em":
            return ("*", "*") if is_inner else ("_", "_")
        case "strong":
            return ("__", "__") if is_inner else ("**", "**")
        case "del":
            return "~~", "~~"
        case name:
            return f"<{name}>", f"</{name}>"


def _choose_delimiters(pieces: Sequence[Piece]) -> None:
    """Replace the delimiters of emphasis that would not work where they stand."""
    index = 0
    while index < len(pieces):
        kind = pieces[index].kind
        if not _is_emphasis(pieces[index]):
            index += 1
            continue
        end = index + 1
        while end < len(pieces) and pieces[end].kind == kind and _is_emphasis(pieces[end]):
            end += 1
        spans = [piece.span for piece in pieces[index:end] if piece.span is not None]
        before = pieces[index - 1] if index else None
        after = pieces[end] if end < len(pieces) else None
        if kind == "open":
            _fit(spans, _class_of_end(before), _class_of_start(after))
        else:
            _fit(spans[::-1], _class_of_start(after), _class_of_end(before))
        index = end


def _fit(spans: list[Span], outside: str, inside: str) -> None:
    """Write a run of delimiters, outermost first, so that it works between these two classes of characters."""
    if outside != "word":
        return
    names = {span.mark.name for span in spans}
    if inside == "word" and len(names) == len(spans) and ("del" not in names or len(names) == 1):
        for span in spans:
            if span.before[0] == "_":
                span.before = span.after = span.before.replace("_", "*")
    else:
        span = spans[0]
        span.before, span.after = f"<{span.mark.name}>", f"</{span.mark.name}>"


def _is_emphasis(piece: Piece) -> bool:
    return piece.span is not None and piece.span.mark.name in _EMPHASIS


def _class_of_end(piece: Piece | None) -> str:
    if piece is None or piece.kind == "break":
        return "space"
    return _class_of(piece.text[-1]) if piece.kind in ("text", "raw") else "punctuation"


def _class_of_start(piece: Piece | None) -> str:
    if piece is None or piece.kind == "break":
        return "space"
    return _class_of(piece.text[0]) if piece.kind in ("text", "raw") else "punctuation"


def _class_of(character: str) -> str:
    if character.isspace():
        return "space"
    return "punctuation" if unicodedata.category(character)[0] in "PS" else "word"


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
