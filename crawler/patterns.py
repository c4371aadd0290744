"""URL patterns that callers give: wildcards for includePatterns and excludePatterns, and regular expressions
for allowRequestPattern and rejectRequestPattern.

Both run on RE2: its automata never backtrack, so a hostile pattern costs time linear in the URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import re2

MAX_PATTERN_CHARS = 500
#: Every wildcard is one more state that the automaton may be in: 50 patterns of 250 wildcards would cost a third
#: of a second per URL.
MAX_WILDCARDS = 20
#: Instructions of a compiled regular expression, after RE2's own limit on repetition.
MAX_PROGRAM = 10_000

_PIECE = re.compile(r"\*+|[^*]+")


@dataclass(frozen=True, slots=True)
class BadPattern:
    """Why a pattern is refused; may be shown to the caller."""

    message: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """One wildcard pattern (contract B.5): `*` is any run without `/`, `**` is any run, both may be empty.

    All else is literal and case-sensitive, and the pattern covers the whole URL, query included.
    """

    text: str
    _expression: bytes = field(repr=False, compare=False)
    _regex: Any = field(repr=False, compare=False)

    @classmethod
    def compile(cls, text: str) -> Self | BadPattern:
        """Read a pattern, or say what is wrong with it."""
        problem = _problem(text)
        if problem is not None:
            return problem
        pieces = _PIECE.findall(text)
        if sum(piece[0] == "*" for piece in pieces) > MAX_WILDCARDS:
            return BadPattern(f"The pattern has more than {MAX_WILDCARDS} wildcards.")
        expression = b"".join(map(_translate, pieces))
        return cls(text, expression, re2.compile(expression, _glob_options()))

    def matches(self, url: str) -> bool:
        """Whether the pattern covers all of this serialised URL."""
        return self._regex.fullmatch(url.encode()) is not None


def any_of(patterns: Iterable[Pattern]) -> Callable[[str], bool]:
    """One matcher for several patterns: true if any covers the URL, in a single pass over it."""
    expressions = [pattern._expression for pattern in patterns]
    if not expressions:
        return lambda url: False
    regex = re2.compile(b"|".join(b"(?:" + one + b")" for one in expressions), _glob_options())
    return lambda url: regex.fullmatch(url.encode()) is not None


@dataclass(frozen=True, slots=True)
class RequestPattern:
    """A regular expression (RE2 syntax) that is searched anywhere in the URL of a sub-request."""

    text: str
    _regex: Any = field(repr=False, compare=False)

    @classmethod
    def compile(cls, text: str) -> Self | BadPattern:
        """Read `expression` or `/expression/`, or say what is wrong with it.

        Look-around and back-references do not exist in RE2 and are refused.
        """
        problem = _problem(text)
        if problem is not None:
            return problem
        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        try:
            regex = re2.compile(_without_slashes(text), options)
        except re2.error as error:
            reason = error.args[0] if error.args else "syntax"
            detail = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            return BadPattern(f"The regular expression is not valid: {detail}.")
        if regex.programsize > MAX_PROGRAM:
            return BadPattern("The regular expression is too large; use smaller repetitions.")
        return cls(text, regex)

    def matches(self, url: str) -> bool:
        """Whether the expression is found in this URL."""
        return self._regex.search(url) is not None


def _problem(text: str) -> BadPattern | None:
    """What both kinds of pattern have to fulfil."""
    if not text:
        return BadPattern("The pattern is empty.")
    if len(text) > MAX_PATTERN_CHARS:
        return BadPattern(f"The pattern has {len(text)} characters; at most {MAX_PATTERN_CHARS} are allowed.")
    if any("\ud800" <= char <= "\udfff" for char in text):
        return BadPattern("The pattern contains a lone surrogate, which no URL can contain.")
    return None


def _translate(piece: str) -> bytes:
    if piece[0] != "*":
        return bytes(re2.escape(piece.encode()))
    return b"[^/]*" if len(piece) == 1 else b".*"


def _glob_options() -> Any:
    options = re2.Options()
    # On bytes "any character" is one instruction instead of the ten of UTF-8, and means the same here.
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.never_capture = True
    options.log_errors = False
    return options


def _without_slashes(text: str) -> str:
    """Take off the delimiters of `/expression/`. One in front of `^` alone is a delimiter too: nothing is before
    the start of a URL, so that the documented example `/^.*\\.(css)` would otherwise never match."""
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return text[1:-1]
    return text[1:] if text.startswith("/^") else text
