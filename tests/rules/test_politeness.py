"""How long to wait: clamps, headers, and that no input breaks them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import politeness
from crawler.model import ErrorCode, Failure, HostSign

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


CIRCUIT = politeness.Circuit(opens_after=4, down_after=8, down=timedelta(minutes=10))


@pytest.mark.parametrize("status", [200, 301, 403, 404, 408, 500, 501])
def test_b12_a_page_of_its_own_error_says_that_the_host_is_there(status: int) -> None:
    assert politeness.sign_of_answer(status, timedelta(9)) == HostSign()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_b12_a_busy_host_is_as_good_as_away(status: int) -> None:
    assert politeness.sign_of_answer(status, None) == HostSign(ErrorCode.HTTP_ERROR)
    assert politeness.sign_of_answer(status, timedelta(seconds=3)) == HostSign(ErrorCode.HTTP_ERROR, 3)


@pytest.mark.parametrize(
    ("failure", "sign"),
    [
        (Failure(ErrorCode.CONNECT_FAILED, retryable=True), HostSign(ErrorCode.CONNECT_FAILED)),
        (Failure(ErrorCode.DNS_FAILURE, retryable=True), HostSign(ErrorCode.DNS_FAILURE)),
        (Failure(ErrorCode.TIMEOUT, retryable=True), HostSign(ErrorCode.TIMEOUT)),
        (Failure(ErrorCode.TIMEOUT), None),
        (Failure(ErrorCode.BLOCKED_DESTINATION), None),
        (Failure(ErrorCode.BROWSER_CRASHED, retryable=True), None),
        (Failure(ErrorCode.TOO_LARGE), HostSign()),
    ],
)
def test_a_failure_says_something_about_the_host_or_not(failure: Failure, sign: HostSign | None) -> None:
    assert politeness.sign_of_failure(failure) == sign


@pytest.mark.parametrize(
    ("failures", "asked", "seconds"),
    [
        *((1, None, 1), (2, None, 2), (3, None, 4), (4, None, 8), (7, None, 60)),
        *((1, 0, 0), (3, 3, 3), (3, 99, 99), (4, 3, 8), (4, 99, 99), (8, None, 0), (100, 99, 0)),
    ],
)
def test_b12_a_host_is_pushed_out_further_with_every_failure(
    failures: int, asked: float | None, seconds: float
) -> None:
    given_by_host = None if asked is None else timedelta(seconds=asked)
    assert CIRCUIT.backoff(failures, given_by_host) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("known", "seen", "new", "failures"),
    [
        *((0, 0, 1, 1), (2, 1, 1, 3), (0, 0, 60, 4), (3, 0, 60, 4)),
        *((4, 3, 60, 4), (4, 4, 1, 5), (4, 4, 3, 5), (6, 5, 1, 6), (9, 9, 1, 10), (0, 7, 1, 1)),
    ],
)
def test_x41_what_was_under_way_when_the_circuit_opened_does_not_count(
    known: int, seen: int, new: int, failures: int
) -> None:
    assert CIRCUIT.count(known, seen=seen, new=new) == failures


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 50))
def test_x41_a_dead_host_is_given_up_in_bounded_time(opens: int, down: int, known: int) -> None:
    circuit = politeness.Circuit(opens, down, timedelta(minutes=10))
    waited, failures = timedelta(0), 0
    for _ in range(max(opens, down)):
        failures = circuit.count(failures, seen=failures, new=1)
        waited += circuit.backoff(failures, None)
    assert circuit.is_down(failures)
    assert waited <= timedelta(seconds=60 * max(opens, down))
    assert circuit.pause(known) <= timedelta(seconds=60)
