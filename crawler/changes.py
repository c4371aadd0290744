"""Whether the text of a page has changed between two crawls, and what of it.

Pages show things that differ with every request: the time, a request's id, a counter of visits. `normalize` takes
them out, so that the hashes of two fetches are equal exactly when a reader would say that nothing has changed:

- *moments*: a time of day with seconds, or with a date and a zone; Unix time of the years 2020 to 2033; what follows
  words such as "updated" or "generated on"; "5 minutes ago"; "rendered in 0.2 s". A bare date or time of day stays:
  an event that is moved, or opening hours, are news.
- *tokens*: UUIDs, runs of hexadecimal digits from 12 on (from 16 on if all are figures), and what follows words such
  as "nonce" or "request id". What follows "sha256", "commit" and the like stays: another checksum is another file.
- *counters*: numbers of views, visits, hits, likes, followers and such. All other numbers stay: a price, a version,
  a stock level is what the page says.
- white space, and characters that cannot be seen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from hashlib import blake2b
from itertools import chain, takewhile
from typing import Any

import re2

from crawler.model import CrawlStatus

#: Text is compared up to here; a page that is longer and changes later on is caught by nothing but its title.
MAX_TEXT_CHARS = 1 << 20
#: More pairs of differing lines than this are not matched with each other, but shown as one block.
_MAX_LINE_PAIRS = 1_000_000
_CONTEXT_LINES = 3

_HASH_BYTES = 16
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"

_CLOSING = ",.;:!?)"

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DATE = (
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}|\d{{1,2}}\.?[\s-]{_MONTH}[\s-]\d{{4}}"
    rf"|{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?)"
)
_SECONDS = r"(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d{1,9})?(?:\s?[ap]\.?m\b\.?)?"
_MINUTES = r"(?:[01]?\d|2[0-3]):[0-5]\d(?:\s?[ap]\.?m\b\.?)?"
_ZONE = r"\s?(?:z|utc|gmt|[a-z]{1,4}t|[+-]\d{2}:?\d{2})\b(?:\s?[+-]\d{1,2}(?::?\d{2})?)?"
_TIME = rf"(?:{_SECONDS}|{_MINUTES})(?:{_ZONE})?"
_BETWEEN = r"(?:,?\s(?:at\s)?|t|\s[-–—|]\s)"
_UNIT = r"(?:s|m|h|d|w|mo|y|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|weeks?|months?|years?)"
_NUMBER = r"\d{1,3}(?:[,.' ]\d{3})+|\d+(?:\.\d+)?\s?[kmb]?"
_COUNTED = (
    r"(?:page\s?views?|views?|viewers?|visits?|visitors?|hits|likes?|shares|followers?|subscribers?|watchers?"
    r"|impressions|upvotes|(?:users?|people|guests?|members?)\s(?:online|viewing|watching))"
)
#: In the order in which they are tried at one place. Case does not matter.
_VOLATILE = "|".join(
    (
        # Named so that the hash that follows is left alone.
        r"(?P<kept>\b(?:sha-?\d{1,3}(?:sum)?|md5(?:sum)?|checksum|digest|commit|revision)\W{1,3}[0-9a-f]{7,})",
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        r"\b(?:nonce|csrf(?:[ _-]?token)?|xsrf(?:[ _-]?token)?|(?:request|trace|session|correlation|ray|visit|incident)"
        r"[ _-]?id)(?:\sis)?\W{1,3}[\w+/=.-]+",
        r"\btoken(?:\sis)?\W{1,3}(?P<token>[\w+/=.-]{6,})",
        rf"\b(?:updated|modified|changed|edited|refreshed|generated|rendered|created|built|served|cached|retrieved"
        rf"|fetched|accessed|checked|printed|as of|now is|today is|it is now|today's date|date and time"
        rf"|(?:current|server|local|system)\s(?:date|time))(?:\s(?:on|at|by))?\W{{0,3}}"
        rf"(?:{_DATE}(?:{_BETWEEN}{_TIME})?|{_TIME}(?:{_BETWEEN}{_DATE})?)",
        rf"\b(?:{_DATE}{_BETWEEN})?{_SECONDS}(?:{_ZONE})?(?:\s\d{{4}}\b|{_BETWEEN}{_DATE})?",
        rf"\b{_DATE}{_BETWEEN}{_MINUTES}{_ZONE}",
        r"\b\d{4}-\d{2}-\d{2}t\d{2}:\d{2}\b",
        r"\b1[6-9]\d{8}(?:\.\d{1,9}|\d{3}|\d{6}|\d{9})?\b",
        rf"\b(?:\d+|an?|one|a few|a couple of|less than an?)\s?{_UNIT}(?:(?:,|\sand)?\s\d+\s?{_UNIT})?\sago\b",
        rf"\b(?:just now|moments? ago|(?:yesterday|today)(?:,|\sat)?\s{_MINUTES})",
        r"\b(?:generated|rendered|created|served|loaded|built|executed|processed|took|queries|query|results?|page)"
        r"\s(?:in\s)?(?:about\s)?\d+(?:[.,]\d+)?\s?(?:ms|milliseconds?|s|secs?|seconds?)\b",
        rf"\b(?:{_NUMBER})\s?(?:unique\s|total\s|daily\s|monthly\s)?{_COUNTED}\b",
        rf"\b{_COUNTED}(?:\s(?:today|count|counter|so far))?\W{{1,3}}(?:{_NUMBER})\b",
        rf"\b(?:visitor|hit|page|view|visit|request)\s?(?:counter|count|number|no\.?|#)\W{{0,3}}(?:{_NUMBER})\b",
        rf"\bcounter\W{{1,3}}(?:{_NUMBER})\b",
        rf"\b(?:viewed|visited|read|served|requested|seen|shown|loaded)\s(?:(?:{_NUMBER})\s?times?|by\s(?:{_NUMBER}))\b",
        r"(?P<hex>\b[0-9a-f]{12,}\b)",
    )
)
#: Stands for what was taken out.
_GAP = b"~"
#: Shorter runs of nothing but figures are numbers of articles, books and telephones.
_MIN_ID_DIGITS = 16


class PageChange(StrEnum):
    """What became of a page between two crawls. Every page that one of them has is exactly one of these."""

    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    REMOVED = "removed"
    #: It was there, and this crawl cannot say: it failed, or was not reached.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """A page of two crawls. `reason` says why it is removed or unknown."""

    url: str
    change: PageChange
    reason: str
    http_status: int | None
    title: str | None
    #: Ids of its records, None where a crawl does not have it.
    old_id: int | None
    new_id: int | None
    #: Its place in the comparison: a cursor after it.
    place: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Some pages of a crawl and the one before, in discovery order, those that are gone last."""

    crawl_id: str
    crawl_status: CrawlStatus
    #: The crawl that it was compared with; None: there is none, and every page is new.
    against_id: str | None
    pages: tuple[ComparedPage, ...]
    #: All pages by what became of them; None where only the first part of the answer has it.
    counts: Mapping[PageChange, int] | None
    next_cursor: int | None


@dataclass(frozen=True, slots=True)
class Diff:
    """A unified diff without its file names. `is_whole` is False where it was cut at its longest size."""

    text: str
    is_whole: bool


def content_hash(title: str, text: str) -> str:
    """32 hexadecimal digits that are equal for equal normalised texts. `text` is the main text of the page."""
    content = f"{normalize(title)}\n{normalize(text[:MAX_TEXT_CHARS])}"
    # Between a word in bold and a comma there is a border of nodes, but no space.
    for mark in _CLOSING:
        content = content.replace(f" {mark}", mark)
    return blake2b(content.encode("utf-8", "replace"), digest_size=_HASH_BYTES).hexdigest()


def normalize(text: str) -> str:
    """The text without what differs from request to request; see above. Takes time linear in the text."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        for character in _INVISIBLE:
            text = text.replace(character, "")
    spaced = " ".join(text.split()).encode("utf-8", "replace")
    # As bytes: RE2 works on UTF-8, and counting characters for every match would cost more than matching.
    normalized: bytes = _EXPRESSION.sub(_replace, spaced)
    return normalized.decode()


def unified_diff(old: str, new: str, *, max_chars: int) -> Diff:
    """What differs between two texts, line by line, with three lines around it. Lines that differ in nothing that
    counts are shown as in `new` and are no difference."""
    before, after = old.splitlines(), new.splitlines()
    lines = chain.from_iterable(_hunk(group, before, after) for group in _groups(before, after))
    text = ""
    for line in lines:
        if len(text) + len(line) + 1 > max_chars:
            return Diff(text, is_whole=False)
        text += line + "\n"
    return Diff(text, is_whole=True)


_Opcode = tuple[str, int, int, int, int]


def _groups(before: list[str], after: list[str]) -> list[list[_Opcode]]:
    """Differences with their surroundings, as `SequenceMatcher.get_grouped_opcodes` has them."""
    old = [normalize(line) for line in before]
    new = [normalize(line) for line in after]
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    ends = len(old) - tail, len(new) - tail
    if (ends[0] - head) * (ends[1] - head) <= _MAX_LINE_PAIRS:
        return list(SequenceMatcher(None, old, new).get_grouped_opcodes(_CONTEXT_LINES))
    start, stop = max(0, head - _CONTEXT_LINES), min(tail, _CONTEXT_LINES)
    return [
        [
            ("equal", start, head, start, head),
            ("replace", head, ends[0], head, ends[1]),
            ("equal", ends[0], ends[0] + stop, ends[1], ends[1] + stop),
        ]
    ]


def _common(left: list[str], right: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


def _hunk(group: list[_Opcode], before: list[str], after: list[str]) -> list[str]:
    old = group[0][1], group[-1][2]
    new = group[0][3], group[-1][4]
    lines = [f"@@ -{_range(*old)} +{_range(*new)} @@"]
    for tag, old_start, old_end, new_start, new_end in group:
        if tag == "equal":
            lines += [f" {line}" for line in after[new_start:new_end]]
        else:
            lines += [f"-{line}" for line in before[old_start:old_end]]
            lines += [f"+{line}" for line in after[new_start:new_end]]
    return lines


def _range(start: int, stop: int) -> str:
    """Lines as the unified format (GNU diffutils, "Detailed Description of Unified Format") counts them."""
    length = stop - start
    first = start + 1 if length else start
    return f"{first}" if length == 1 else f"{first},{length}"


def _replace(match: Any) -> bytes:
    found: bytes = match.group()
    if match.group(b"kept"):
        return found
    if match.group(b"hex") and found.isdigit() and len(found) < _MIN_ID_DIGITS:
        return found
    if (token := match.group(b"token")) and token.isalpha() and token.islower():
        # "Token holders": a word, no token.
        return found
    return _GAP


def _options() -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.max_mem = 64 << 20
    return options


_EXPRESSION = re2.compile(_VOLATILE.encode(), _options())
