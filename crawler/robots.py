"""robots.txt: what it allows us, how fast, where the sitemaps are, and its content signals.

We choose the group, Protego judges paths within it. Content signals belong to a group and Protego does not know
them; besides, it lets a line that it does not know end a group and looks for product tokens inside one another,
where RFC 9309 2.2 wants neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from protego import Protego

#: RFC 9309 2.5 asks for at least this much; the rest is dropped.
MAX_BYTES: Final = 500 * 1024
#: Content-Signal lines of one group that are read.
MAX_SIGNAL_LINES: Final = 100

_Kind = Literal["agent", "rule", "sitemap", "signal"]
_KINDS: Final[tuple[_Kind, ...]] = ("agent", "rule", "sitemap", "signal")
_LINE = re.compile(
    # The misspellings are those that Protego takes for rules: they have to reach it in their group.
    r"(?:(?P<agent>user[- ]?agent)|(?P<rule>allow|di\w{4,6}w|crawl[- ]delay)"
    r"|(?P<sitemap>sitemaps?|site-map)|(?P<signal>content-signal))[ \t]*(?::|(?<=[ \t]))[ \t]*(?P<value>.*)",
    re.IGNORECASE,
)
#: A product token is letters, "_" and "-" by the RFC; names with digits, such as 80legs, are in use all the same.
_PRODUCT = re.compile(r"\*(?!\S)|[a-z0-9_-]+")
_HTTP_URL = re.compile(r"https?://[^\s/]", re.IGNORECASE)

#: Only CR and LF end a line, but Protego splits at these too. NUL is dropped, which also lets UTF-16 read as the
#: ASCII that it nearly always is.
_NOT_LINE_ENDS = str.maketrans(dict.fromkeys("\v\f\x1c\x1d\x1e\x85\u2028\u2029", " ") | {"\0": ""})

_ANYONE = "*"
_PURPOSE_STRICTNESS = {"yes": 0, "no": 1}
_USE_STRICTNESS = {"full": 0, "reference": 1, "immediate": 2}


@dataclass(frozen=True, slots=True)
class ContentSignals:
    """What a site says about the use of one page (contract B.3). What it does not mention is not refused."""

    #: Purposes answered with `no`, for example `ai-train`.
    refused: frozenset[str] = frozenset()
    #: The most that may be done with the content: `immediate` < `reference` < `full`.
    use: Literal["immediate", "reference", "full"] = "full"


@dataclass(frozen=True, slots=True)
class Robots:
    """One robots.txt as it applies to our token."""

    #: Seconds as written: finite and not negative, but otherwise anything. See `politeness.interval`.
    crawl_delay: float | None
    #: Absolute http(s) URLs in file order, each once. They may name any host.
    sitemaps: tuple[str, ...]
    _rules: Protego = field(repr=False)
    _signals: tuple[_SignalLine, ...] = field(repr=False)

    def allowed(self, url: str) -> bool:
        """Whether the rules let us fetch this serialised URL; `/robots.txt` itself always (RFC 9309 2.2.2)."""
        return bool(self._rules.can_fetch(url, _ANYONE))

    def signals(self, url: str) -> ContentSignals:
        """The content signals in force for this serialised URL.

        A signal may be given for a path; per signal the longest path that matches decides, and of equals the
        stricter.
        """
        strongest: dict[str, tuple[int, int]] = {}
        for line in self._signals:
            if line.covers(url):
                for name, strictness in line.values:
                    found = (len(line.path), strictness)
                    strongest[name] = max(found, strongest.get(name, found))
        _, use = strongest.pop("use", (0, 0))
        refused = frozenset(name for name, (_, strictness) in strongest.items() if strictness)
        return ContentSignals(refused, ("full", "reference", "immediate")[use])


def parse(body: bytes, *, token: str) -> Robots:
    """Read a robots.txt for the crawler whose product token is `token`. Any bytes give an answer.

    The groups that name the token are joined and used alone; those of `*` only when none does (RFC 9309 2.2.1).
    Rules before the first User-agent line belong to nobody.
    """
    lines = list(_lines(body))
    own = list(_group(lines, token.lower()))
    group = own or list(_group(lines, _ANYONE))
    sitemaps = [line for line in lines if line.kind == "sitemap"]
    rules = [line for line in group if line.kind == "rule"]
    protego = Protego.parse("\n".join(["User-agent: *", *(line.text for line in rules + sitemaps)]))
    signals = [line.value for line in group if line.kind == "signal"]
    return Robots(
        crawl_delay=protego.crawl_delay(_ANYONE),
        sitemaps=tuple(dict.fromkeys(url for url in protego.sitemaps if _HTTP_URL.match(url))),
        _rules=protego,
        _signals=tuple(_signal_line(value) for value in signals[:MAX_SIGNAL_LINES]),
    )


def signal_conflict(signals: ContentSignals, purposes: frozenset[str], content_use: str) -> bool:
    """Whether a crawl for these purposes and this use goes against the signals of a page (contract B.3)."""
    return bool(signals.refused & purposes) or _USE_STRICTNESS[content_use] < _USE_STRICTNESS[signals.use]


@dataclass(frozen=True, slots=True)
class _Line:
    kind: _Kind
    text: str
    value: str


@dataclass(frozen=True, slots=True)
class _SignalLine:
    #: Empty for a signal about the whole site.
    path: str
    scope: Protego | None
    values: tuple[tuple[str, int], ...]

    def covers(self, url: str) -> bool:
        return self.scope is None or not self.scope.can_fetch(url, _ANYONE)


def _lines(body: bytes) -> Iterator[_Line]:
    """The lines that mean something to us, without comments."""
    # A byte order mark, also one that was cut short, must not hide the first User-agent.
    content = body[:MAX_BYTES].decode("utf-8", "replace").lstrip("\ufeff\ufffd").translate(_NOT_LINE_ENDS)
    lines = re.split(r"\r\n?|\n", content)
    if len(body) >= MAX_BYTES:
        # Half a line may say more than the whole one: "Disallow: /" is the beginning of "Disallow: /private".
        del lines[-1]
    for line in lines:
        text = line.partition("#")[0].strip()
        match = _LINE.fullmatch(text)
        if match is not None:
            kind = next(kind for kind in _KINDS if match[kind] is not None)
            yield _Line(kind, text, match["value"])


def _group(lines: Iterable[_Line], token: str) -> Iterator[_Line]:
    """The rules and signals of every group that names `token`, preceded by the line that names it."""
    ours = naming = False
    for line in lines:
        if line.kind == "agent":
            # Names that follow one another share a group; the first one after a rule begins a new group.
            product = _PRODUCT.match(line.value.lower())
            named = product is not None and product[0] == token
            ours = named or (ours and naming)
            naming = True
            if named:
                yield line
        elif line.kind != "sitemap":
            naming = False
            if ours:
                yield line


def _signal_line(value: str) -> _SignalLine:
    path = value.split(maxsplit=1)[0] if value.startswith("/") else ""
    values: dict[str, int] = {}
    for signal in value[len(path) :].lower().split(","):
        name, answer = (part.strip() for part in signal.partition("=")[::2])
        strictness = (_USE_STRICTNESS if name == "use" else _PURPOSE_STRICTNESS).get(answer)
        if strictness is not None:
            values[name] = max(strictness, values.get(name, 0))
    scope = Protego.parse(f"User-agent: *\nDisallow: {path}") if path else None
    return _SignalLine(path, scope, tuple(values.items()))
