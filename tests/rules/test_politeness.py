"""How long to wait: clamps, headers, and that no input breaks them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import politeness

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
CAP = timedelta(seconds=120)


@pytest.mark.parametrize(
    ("crawl_delay", "seconds"),
    [
        *((None, 0.5), (1e9, 30), (-5, 0.5), (float("nan"), 0.5), (0.0001, 0.5), (30, 30), (31, 30)),
        *((0, 0.5), (2, 2), (float("inf"), 0.5)),
    ],
)
def test_e8_the_crawl_delay_is_clamped(crawl_delay: float | None, seconds: float) -> None:
    assert politeness.interval(crawl_delay, 0.5, 30.0) == timedelta(seconds=seconds)


def test_the_operator_may_be_slower_than_the_longest_crawl_delay() -> None:
    assert politeness.interval(None, 60.0, 30.0) == timedelta(seconds=60)
    assert politeness.interval(5, 60.0, 30.0) == timedelta(seconds=60)
    assert politeness.interval(5, 0.0, 0.0) == timedelta(0)


@given(st.none() | st.floats(), st.floats(0, 3600), st.floats(0, 3600))
def test_the_interval_is_never_below_the_default(
    crawl_delay: float | None, default_delay: float, max_delay: float
) -> None:
    found = politeness.interval(crawl_delay, default_delay, max_delay)
    assert timedelta(seconds=default_delay) <= found <= timedelta(seconds=max(default_delay, max_delay))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("3", 3), (" 3 ", 3), ("0", 0), ("86400", 120), ("9" * 5_000, 120), ("0" * 5_000 + "7", 7)),
        *(
            (None, None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("３", None),
            ("3, 5", None),
        ),
        (format_datetime(NOW + timedelta(seconds=7), usegmt=True), 7),
        (format_datetime(NOW + timedelta(days=7), usegmt=True), 120),
        (format_datetime(NOW - timedelta(days=7), usegmt=True), 0),
        ("Friday, 01-May-26 12:00:09 GMT", 9),
        ("Fri May  1 12:00:09 2026", 9),
        ("Fri, 99 May 2026 12:00:09 GMT", None),
    ],
)
def test_b13_retry_after(header: str | None, seconds: float | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert politeness.retry_after(header, NOW, CAP) == expected


@given(
    st.text(max_size=40)
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} \d\d:\d\d:\d\d [+-]\d{4}")
)
def test_no_retry_after_header_raises_or_leaves_the_bounds(header: str) -> None:
    found = politeness.retry_after(header, NOW, CAP)
    assert found is None or timedelta(0) <= found <= CAP


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_backoff_is_bounded(attempt: int, rng: random.Random) -> None:
    assert timedelta(seconds=0.5) <= politeness.backoff(attempt, rng) <= timedelta(seconds=60)


def test_backoff_doubles_and_spreads() -> None:
    rng = random.Random(1)
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60)):
        waits = [politeness.backoff(attempt, rng).total_seconds() for _ in range(200)]
        assert longest / 2 <= min(waits) < longest * 0.6
        assert longest * 0.9 < max(waits) <= longest


@pytest.mark.parametrize(
    ("status", "errors", "asked", "seconds"),
    [
        *((200, 0, None, None), (404, 3, None, None), (500, 3, 9, None), (403, 1, None, None)),
        *((429, 1, 3, 3), (429, 5, 3, 3), (503, 1, 0, 0), (429, 1, None, 1), (503, 3, None, 4)),
        *((None, 1, None, 1), (None, 2, None, 2), (None, 100, None, 60), (None, 2, 99, 2), (429, 0, None, 1)),
    ],
)
def test_b12_only_a_busy_or_unreachable_host_is_pushed_out(
    status: int | None, errors: int, asked: float | None, seconds: float | None
) -> None:
    given_by_host = None if asked is None else timedelta(seconds=asked)
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert politeness.host_backoff(status, errors, given_by_host) == expected
