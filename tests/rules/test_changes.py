"""Change tracking: what differs with every request is no change, all else is."""

from __future__ import annotations

import difflib
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.changes import content_hash, normalize, unified_diff

#: Two fetches of one page each.
SAME = [
    ("Generated 2026-11-21T21:40:15.123Z", "Generated 2026-11-22T07:01:02.004Z"),
    ("Served at 2026-11-21 21:40:15", "Served at 2026-12-01 01:00:00"),
    ("Sat, 21 Nov 2026 21:40:15 GMT", "Sun, 22 Nov 2026 00:00:00 GMT"),
    ("Sat Nov 21 21:40:15 2026", "Wed Feb  4 01:02:03 2026"),
    ("21.11.2026 21:40:15", "1.12.2026 09:00:01"),
    ("11/21/2026, 9:40:15 PM", "11/22/2026, 10:00:00 AM"),
    ("Last updated: 21 November 2026", "Last updated: 3 May 2027"),
    ("Updated on Nov 3, 2026 at 5:04 PM", "Updated on Nov 4, 2026 at 11:15 AM"),
    ("It is now 21:40", "It is now 06:12"),
    ("Server time: 21:40:15", "Server time: 06:12:59"),
    ("t=1763761215", "t=1763847615"),
    ("t=1763761215123", "t=1763847615999"),
    ("t=1763761215.1231", "t=1763847615.52"),
    ("written 5 minutes ago", "written 2 hours ago"),
    ("written just now", "written a few seconds ago"),
    ("Page generated in 0.023 seconds", "Page generated in 1.2 seconds"),
    ("id 550e8400-e29b-41d4-a716-446655440000", "id 123e4567-e89b-12d3-a456-426614174000"),
    ("nonce 8f14e45fceea167a", "nonce 1b2c3d4e5f607182"),
    ("nonce: 12345678", "nonce: deadbeef"),
    ("x 8f14e45fceea167a y", "x 1234567890123456 y"),
    ("x 8f14e45fceea167a y", "x abcdefabcdefabcd y"),
    ("csrf-token = Zx8_k-Q2", "csrf-token = a"),
    ("Token: aB3xY7qw", "Token: Qw9eRt0p"),
    ("Request ID: 7f3a9cbe", "Request ID: 00000001"),
    ("1,234 views", "98 views"),
    ("1.2k views", "1.3k views"),
    ("Views: 12", "Views: 13"),
    ("You are visitor number 00123", "You are visitor number 00124"),
    ("Hit counter: 5", "Hit counter: 600"),
    ("This page has been viewed 3 times", "This page has been viewed 1 time"),
    ("12 users online", "9 users online"),
    ("some\n  text\u00a0here", "some text here"),
    ("soft\u00adhyphen, zero\u200bwidth", "softhyphen, zerowidth"),
    ("e\u0301", "é"),
]
#: A page before and after somebody has changed it.
CHANGED = [
    ("$1,299.00", "$1,199.00"),
    ("version 3.11.4", "version 3.11.5"),
    ("12 in stock", "11 in stock"),
    ("12 comments", "13 comments"),
    ("Concert on 12 March 2026, 18:00", "Concert on 13 March 2026, 18:00"),
    ("Concert on 12 March 2026, 18:00", "Concert on 12 March 2026, 19:00"),
    ("open from 9:00 to 18:00", "open from 9:00 to 19:00"),
    ("Ready in 30 minutes", "Ready in 45 minutes"),
    ("call 555 1234", "call 555 1235"),
    ("ISBN 9781617294433", "ISBN 9780131103627"),
    ("sha256: abcdef0123456789", "sha256: abcdef0123456780"),
    ("commit 1a2b3c4d5e6f7a8b", "commit 1a2b3c4d5e6f7a8c"),
    ("token holders", "token sellers"),
    ("a red door", "a read door"),
    ("Yes", "yes"),
    ("one two", "two one"),
    ("the end", "the end."),
    ("some text", ""),
]

words = st.text(string.ascii_letters[6:26] + "äßéпр中文", min_size=1, max_size=8)
lines = st.lists(st.sampled_from(["one", "two", "three", "four", ""]), max_size=30)


@pytest.mark.parametrize(("first", "second"), SAME)
def test_what_differs_with_every_request_is_no_change(first: str, second: str) -> None:
    assert normalize(first) == normalize(second)
    assert content_hash("Title", f"Before. {first} After.") == content_hash(
        "Title", f"Before. {second} After."
    )


@pytest.mark.parametrize(("first", "second"), CHANGED)
def test_what_somebody_has_changed_is_found(first: str, second: str) -> None:
    assert content_hash("Title", f"Before {first} After") != content_hash("Title", f"Before {second} After")
    assert content_hash(first, "Text") != content_hash(second, "Text")


def test_bold_words_before_punctuation_are_no_change() -> None:
    assert content_hash("", "one two , three .") == content_hash("", "one two, three.")


def test_title_and_text_are_told_apart() -> None:
    assert content_hash("a", "b") != content_hash("a b", "")


@given(st.lists(words, min_size=1), st.data())
def test_another_word_is_always_a_change(found: list[str], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(found) - 1))
    word = data.draw(words.filter(lambda word: normalize(word) != normalize(found[position])))
    other = [*found[:position], word, *found[position + 1 :]]
    assert content_hash("", " ".join(found)) != content_hash("", " ".join(other))


@given(st.text())
def test_any_text_has_a_hash_and_is_normal_once_it_was_normalized(text: str) -> None:
    assert len(content_hash(text, text)) == 32
    assert normalize(f" {text}\n") == normalize(text)


@pytest.mark.parametrize("piece", ["1 ", "1,111", "updated ", "a", "12:", "jan 1 ", "2026-01-01 ", "nonce "])
@pytest.mark.slow
def test_hostile_texts_take_linear_time(piece: str) -> None:
    began = time.process_time()
    content_hash("", piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 5


@given(lines, lines)
def test_a_diff_is_the_usual_unified_diff(old: list[str], new: list[str]) -> None:
    diff = unified_diff("\n".join(old), "\n".join(new), max_chars=10_000)
    before, after = "\n".join(old).splitlines(), "\n".join(new).splitlines()
    expected = list(difflib.unified_diff(before, after, lineterm=""))[2:]
    assert diff.is_whole
    assert diff.text.splitlines() == expected


def test_a_diff_does_not_speak_of_what_is_no_change() -> None:
    old = "# Tides\n\n5 views\n\nHigh water at noon\n"
    new = "# Tides\n\n7 views\n\nHigh water at two\n"
    diff = unified_diff(old, new, max_chars=10_000)
    assert diff.text == "@@ -2,4 +2,4 @@\n \n 7 views\n \n-High water at noon\n+High water at two\n"


def test_a_diff_ends_at_its_longest_size() -> None:
    old, new = "old line\n" * 100, "new line\n" * 100
    diff = unified_diff(old, new, max_chars=200)
    assert not diff.is_whole
    assert 150 < len(diff.text) <= 200
    assert diff.text.endswith("-old line\n")


def test_a_diff_of_long_texts_is_made_in_time() -> None:
    source = random.Random(1)
    old, new = ([source.choice("abcdefgh") for _ in range(20_000)] for _ in range(2))
    began = time.process_time()
    diff = unified_diff(
        "\n".join(["same", *old, "end"]), "\n".join(["same", *new, "end"]), max_chars=1_000_000
    )
    assert time.process_time() - began < 10
    assert diff.text.splitlines()[0] == "@@ -1,20002 +1,20002 @@"
    assert diff.text.splitlines()[1] == " same"
