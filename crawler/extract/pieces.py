"""Inline tokens, arranged: blanks where they belong, no empty marks, no needless delimiters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from crawler.extract.blocks import Break, Checkbox, CodeLine, End, Image, Inline, Mark, Math, Meaning
from crawler.extract.escape import destination, escape_text, title_part

SPACE = re.compile(r"[ \t\r\n\f]+")


@dataclass(slots=True, eq=False)
class Span:
    """A mark that holds something, and how its two sides are written: `crawler.extract.delimiters` decides."""

    mark: Mark
    #: Marks of the same name around it, and whether there is one in it.
    level: int
    has_inner: bool = False
    before: str = ""
    after: str = ""


@dataclass(slots=True, eq=False)
class Piece:
    """Something that is written: text, code, finished Markdown (`raw`), a break, or one side of a mark.

    A side of a mark has its `span`. Text and code are as in the page, not escaped. A break with text ends
    the paragraph.
    """

    kind: Literal["text", "code", "raw", "break", "open", "close"]
    text: str = ""
    span: Span | None = None

    @property
    def mark(self) -> Mark:
        """The mark that this is a side of."""
        assert self.span is not None
        return self.span.mark


def arrange(tokens: Iterable[Inline]) -> list[Piece]:
    """Tokens as pieces. No mark begins or ends with a blank, and none is empty."""
    arrangement = _Arrangement()
    for token in tokens:
        arrangement.take(token)
    return arrangement.pieces


class _Arrangement:
    """Tokens as pieces without superfluous blanks, empty marks and needless delimiters.

    Blanks and opening marks wait until something follows that is shown; closing marks do not. So no mark ever begins
    or ends with a blank, and one that holds nothing never appears.
    """

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._blanks = ""
        self._breaks = 0
        self._waiting: list[Mark] = []
        self._open: list[Span] = []
        #: Code that is under way, else None.
        self._code: str | None = None

    def take(self, token: Inline) -> None:
        if isinstance(token, str):
            if self._code is None:
                self._take_text(SPACE.sub(" ", token))
            else:
                self._code += token
        elif isinstance(token, Mark):
            self._start(token)
        elif isinstance(token, End):
            self._end(token.mark)
        else:
            self._end_code()
            self._take_whole(token)

    def _take_whole(self, token: Image | Break | Checkbox | Meaning | Math | CodeLine) -> None:
        match token:
            case Break():
                self._blanks = ""
                self._breaks += bool(self.pieces)
            case Image(source, alt, title):
                text = escape_text(SPACE.sub(" ", alt).strip(), is_in_link=True)
                self._show(Piece("raw", f"![{text}]({destination(source)}{title_part(title)})"))
            case Checkbox(is_checked):
                self._show(Piece("raw", "[x] " if is_checked else "[ ] "))
            case Meaning():
                self._blanks, self._breaks = "", 0
                self._show(Piece("raw", "\n: "))
            case CodeLine(text):
                self._show(Piece("code", text))
            case Math(tex, is_display):
                self._show(Piece("raw", f"$${tex}$$" if is_display else f"${tex}$"))

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
            self._take_code(SPACE.sub(" ", self._code))
            self._code = ""

    def _show(self, piece: Piece) -> None:
        if self._breaks > 1:
            self._part_paragraphs()
        elif self._breaks:
            self.pieces.append(Piece("break"))
        if self._blanks:
            self.pieces.append(Piece("text", self._blanks))
        for mark in self._waiting:
            self._begin(mark)
        self._blanks, self._breaks = "", 0
        self._waiting.clear()
        last = self.pieces[-1] if self.pieces else None
        if last is not None and last.kind == piece.kind and piece.kind in ("text", "code"):
            last.text += piece.text
        else:
            self.pieces.append(piece)

    def _part_paragraphs(self) -> None:
        """End the paragraph. Delimiters never reach over its end: marks begin again in the next one."""
        self._waiting[:0] = [span.mark for span in self._open]
        while self._open:
            self.pieces.append(Piece("close", span=self._open.pop()))
        self.pieces.append(Piece("break", "\n\n"))

    def _begin(self, mark: Mark) -> None:
        last = self.pieces[-1] if self.pieces else None
        if last is not None and last.kind == "close" and last.span and last.mark.name == mark.name != "a":
            # Two of a kind side by side would make one run of delimiters: they are one.
            self.pieces.pop()
            last.span.mark = mark
            self._open.append(last.span)
            return
        around = [span for span in self._open if span.mark.name == mark.name]
        for span in around:
            span.has_inner = True
        self._open.append(Span(mark, level=len(around)))
        self.pieces.append(Piece("open", span=self._open[-1]))
