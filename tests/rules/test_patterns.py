"""Wildcards and request expressions: the shared vectors, a slow oracle, and hostile ones against the clock."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.patterns import MAX_PATTERN_CHARS, MAX_WILDCARDS, BadPattern, Pattern, RequestPattern, any_of
from tests.rules import cases


def compiled(text: str) -> Pattern:
    pattern = Pattern.compile(text)
    assert isinstance(pattern, Pattern), pattern
    return pattern


def request(text: str) -> RequestPattern:
    pattern = RequestPattern.compile(text)
    assert isinstance(pattern, RequestPattern), pattern
    return pattern


def best_seconds(call: Callable[[], object], *, repeat: int = 5) -> float:
    """CPU time of the fastest of several runs: other processes may slow one down, but not all."""

    def once() -> float:
        start = time.thread_time()
        call()
        return time.thread_time() - start

    return min(once() for _ in range(repeat))


def test_common_glob_vectors() -> None:
    for case in cases.load("patterns/glob_common.json"):
        pattern = compiled(case["pattern"])
        assert pattern.matches(case["string"]) is case["match"], case
        assert any_of([pattern])(case["string"]) is case["match"], case


@pytest.mark.parametrize(
    ("pattern", "url", "match"),
    [
        ("https://example.com/docs/**", "https://example.com/docs/a/b?x=1", True),
        ("https://example.com/docs/**", "https://example.com/docs/", True),
        ("https://example.com/docs/**", "https://example.com/docs", False),
        ("https://shop.example.com/products/*", "https://shop.example.com/products/42", True),
        ("https://shop.example.com/products/*", "https://shop.example.com/products/42/reviews", False),
        ("https://shop.example.com/products/*", "https://shop.example.com/products/", True),
        ("**/api/v1/*", "https://www.exampledocs.com/docs/api/v1/users", True),
        ("**/api/v1/*", "https://www.exampledocs.com/docs/api/v1/users/7", False),
        ("*/learning-paths/*", "https://e.com/docs/learning-paths/x", False),
        ("/api/v1/*", "https://e.com/api/v1/x", False),
    ],
)
def test_f59_documented_patterns(pattern: str, url: str, match: bool) -> None:
    assert compiled(pattern).matches(url) is match


@pytest.mark.parametrize(
    ("pattern", "url", "match"),
    [
        ("https://e.com/a.b", "https://e.com/a.b", True),
        ("https://e.com/a.b", "https://e.com/axb", False),
        ("https://e.com/a?x=1", "https://e.com/a?x=1", True),
        ("https://e.com/a?x=1", "https://e.com/?x=1", False),
        ("https://e.com/(a|b)+[c]{1}^$\\", "https://e.com/(a|b)+[c]{1}^$\\", True),
        ("https://e.com/Docs", "https://e.com/docs", False),
        ("https://e.com/a%20b", "https://e.com/a%20b", True),
        ("https://e.com/a%20b", "https://e.com/a b", False),
        ("a\nb*", "a\nb\n", True),
        ("a\0b**", "a\0b\0/", True),
        ("a\n", "a", False),
        ("é*", "éé", True),
        ("***", "a/b", True),
        ("b", "abc", False),
    ],
)
def test_e26_all_but_stars_is_literal(pattern: str, url: str, match: bool) -> None:
    assert compiled(pattern).matches(url) is match


def slow_match(pattern: str, text: str) -> bool:
    """The definition, one character at a time."""

    @cache
    def match(at: int, pos: int) -> bool:
        if at == len(pattern):
            return pos == len(text)
        if pattern.startswith("**", at):
            end = at + len(pattern[at:]) - len(pattern[at:].lstrip("*"))
            return any(match(end, later) for later in range(pos, len(text) + 1))
        if pattern[at] == "*":
            run = text[pos:].partition("/")[0]
            return any(match(at + 1, pos + taken) for taken in range(len(run) + 1))
        return text[pos : pos + 1] == pattern[at] and match(at + 1, pos + 1)

    return match(0, 0)


@given(st.text("ab/*", min_size=1, max_size=12), st.text("ab/", max_size=12))
def test_patterns_do_what_the_definition_says(pattern: str, text: str) -> None:
    assert compiled(pattern).matches(text) is slow_match(pattern, text)


@given(st.lists(st.text("ab|()/*", min_size=1, max_size=6), max_size=5), st.text("ab|()/", max_size=8))
def test_several_patterns_match_if_one_does(texts: list[str], url: str) -> None:
    patterns = [compiled(text) for text in texts]
    assert any_of(patterns)(url) is any(pattern.matches(url) for pattern in patterns)


@given(st.text(max_size=MAX_PATTERN_CHARS), st.text(max_size=50))
def test_any_text_is_a_pattern_or_refused(text: str, url: str) -> None:
    for pattern in (Pattern.compile(text), RequestPattern.compile(text)):
        if not isinstance(pattern, BadPattern):
            assert pattern.matches(url) in {True, False}


@pytest.mark.parametrize("text", ["", "a" * 501, "\ud800", "*a" * (MAX_WILDCARDS + 1)])
def test_e24_wildcards_that_are_refused(text: str) -> None:
    assert isinstance(Pattern.compile(text), BadPattern)


def test_the_longest_pattern_with_the_most_wildcards_is_accepted() -> None:
    assert compiled("a" * 500).matches("a" * 500)
    assert compiled("*a" * MAX_WILDCARDS).matches("a" * MAX_WILDCARDS)


@pytest.mark.parametrize(
    "text", ["(?=x)", "(a)\\1", "(?P<x>", "[", "a" * 501, "a{1000}{1000}", "[^a]{999}\\pL{900}", "\ud800", ""]
)
def test_e24_expressions_that_are_refused(text: str) -> None:
    refused = RequestPattern.compile(text)
    assert isinstance(refused, BadPattern)
    assert refused.message.endswith(".")


def test_e24_the_compiled_size_is_limited() -> None:
    assert isinstance(RequestPattern.compile(r"\pL{2}"), RequestPattern)
    assert isinstance(RequestPattern.compile(r"\pL{20}"), BadPattern)


@pytest.mark.parametrize(
    ("text", "url", "match"),
    [
        (r"\.css", "https://e.com/a.css?v=1", True),
        (r"/\.css$/", "https://e.com/a.css", True),
        (r"/\.css$/", "https://e.com/a.css?v=1", False),
        (r"/^.*\.(css)", "https://e.com/a.css", True),
        (r"/static/", "https://e.com/static", True),
        ("/api", "https://e.com/api", True),
        ("/api", "https://e.com/xapi", False),
        ("^https://ads[.]", "https://ads.test/", True),
        ("é", "https://e.com/é", True),
        ("/", "https://e.com/", True),
    ],
)
def test_request_expressions(text: str, url: str, match: bool) -> None:
    assert request(text).matches(url) is match


def test_e23_no_expression_backtracks() -> None:
    pattern = request("(a+)+$")
    assert best_seconds(lambda: pattern.matches("/" + "a" * 30 + "!")) < 0.001


def test_e25_no_wildcard_backtracks() -> None:
    pattern = compiled("*a*a*a*a*a*a*a*a*a*a*b")
    assert not pattern.matches("a" * 8_000)
    assert best_seconds(lambda: pattern.matches("a" * 8_000)) < 0.001


def test_fifty_hostile_wildcards_cost_milliseconds() -> None:
    rng = random.Random(1)
    parts = [["".join(rng.choices("ab", k=rng.choice((1, 2, 23)))) for _ in range(19)] for _ in range(50)]
    matches = any_of([compiled("**" + "*".join(part) + "z") for part in parts])
    url = "".join(rng.choices("ab", k=2_000))
    assert best_seconds(lambda: matches(url)) < 0.02


@pytest.mark.slow
def test_e28_fifty_patterns_on_100_000_urls() -> None:
    patterns = [compiled(f"https://site{number}.test/*/docs/**") for number in range(50)]
    urls = [f"https://site{number % 60}.test/en/docs/page/{number}" for number in range(100_000)]
    matches = any_of(patterns)
    assert sum(map(matches, urls)) == sum(number % 60 < 50 for number in range(100_000))
    assert best_seconds(lambda: sum(map(matches, urls)), repeat=2) < 2
