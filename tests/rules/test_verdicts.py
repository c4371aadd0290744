"""What a failure makes of a page's lease."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from crawler.model import ErrorCode, Failure, Kind, Lease, Role, UrlStatus
from crawler.settings import Settings
from crawler.verdicts import Verdicts

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LEASE = Lease(
    url_id=7, crawl_id="c", seq=1, url="http://site.test/", role=Role.PAGE, kind=Kind.RENDER, depth=0, attempt=1,
    token="t", host="site.test", host_id=1, granted_monotonic=0.0, next_fetch_at=0, interval_ms=0,
)  # fmt: skip


def verdicts(max_attempts: int) -> Verdicts:
    settings = Settings.load(max_attempts=max_attempts)
    return Verdicts(settings, rng=random.Random(1), wall_clock=lambda: NOW)


def test_a_page_pays_for_the_browser_that_it_had_to_itself() -> None:
    own = Failure(ErrorCode.BROWSER_CRASHED, retryable=True)
    outcome = verdicts(max_attempts=1).of_failure(LEASE, own)
    assert (outcome.status, outcome.reason) == (UrlStatus.ERRORED, ErrorCode.BROWSER_CRASHED)
    again = verdicts(max_attempts=2).of_failure(LEASE, own)
    assert (again.status, again.give_attempt_back) == (UrlStatus.QUEUED, False)


def test_a_page_is_spared_three_times_for_a_browser_that_others_may_have_brought_down() -> None:
    shared = Failure(ErrorCode.BROWSER_CRASHED, retryable=True, is_shared=True)
    judge = verdicts(max_attempts=1)
    for _ in range(3):
        outcome = judge.of_failure(LEASE, shared)
        assert (outcome.status, outcome.give_attempt_back) == (UrlStatus.QUEUED, True)
        assert outcome.retry_after_seconds > 0
    assert judge.of_failure(LEASE, shared).status is UrlStatus.ERRORED
