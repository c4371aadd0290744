"""What an answer, or the lack of one, makes of a page's lease: completed, errored, or another try."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from crawler import politeness, urls
from crawler.model import ErrorCode, Failure, HostSign, Lease, Outcome, Response, UrlStatus
from crawler.recent import Recent
from crawler.settings import Settings

#: Answers that another try may better; any other status is the page's own.
_PASSING = frozenset({408, 429, 502, 503, 504})
#: How often a page is tried again for nothing, in one process, because it was in a browser that was brought down: by
#: then it has been there so often that it may be the one.
_SHARED_LOSSES = 3
#: Pages remembered for that.
_REMEMBERED = 1_000


class Verdicts:
    """One per process; `rng` spreads the times of retries."""

    def __init__(self, settings: Settings, *, rng: random.Random, wall_clock: Callable[[], datetime]) -> None:
        self._max_attempts = settings.max_attempts
        self._retry_after_cap = timedelta(seconds=settings.retry_after_cap_seconds)
        self._circuit = politeness.Circuit.load(settings)
        self._rng = rng
        self._wall_clock = wall_clock
        self._losses = Recent[int, int](_REMEMBERED)

    def of_response(self, lease: Lease, response: Response) -> Outcome:
        """By the HTTP status alone."""
        outcome = Outcome(
            lease,
            UrlStatus.COMPLETED,
            http_status=response.status,
            final_url=response.url,
            title="",
            last_modified=response.headers.get("last-modified"),
            host_sign=HostSign(),
        )
        if 200 <= response.status < 300:
            return outcome
        retry_after = response.headers.get("retry-after")
        asked = politeness.retry_after(retry_after, self._wall_clock(), self._retry_after_cap)
        sign = politeness.sign_of_answer(response.status, asked)
        outcome = replace(outcome, status=UrlStatus.ERRORED, reason=ErrorCode.HTTP_ERROR)
        if urls.host_of(response.url) == lease.host:
            outcome = replace(outcome, host_sign=sign)
        if response.status in _PASSING:
            return self._try_again(outcome, asked)
        return outcome

    def of_failure(self, lease: Lease, failure: Failure) -> Outcome:
        """By what went wrong, and whose doing it was."""
        outcome = Outcome(lease, UrlStatus.ERRORED, failure.code)
        if failure.is_shared and self._is_spared(lease.url_id):
            delay = politeness.backoff(1, self._rng)
            return replace(
                outcome,
                status=UrlStatus.QUEUED,
                give_attempt_back=True,
                retry_after_seconds=delay.total_seconds(),
            )
        if not failure.url or urls.host_of(failure.url) == lease.host:
            outcome = replace(outcome, host_sign=politeness.sign_of_failure(failure))
        return self._try_again(outcome, None) if failure.retryable else outcome

    def _try_again(self, outcome: Outcome, asked: timedelta | None) -> Outcome:
        """The page's next attempt, if it has one; the host's circuit is not the page's fault and costs none."""
        lease, sign = outcome.lease, outcome.host_sign
        outcome = replace(outcome, status=UrlStatus.QUEUED)
        if sign is not None and sign.failure and self._circuit.is_open(lease.host_failures):
            # Another page, if there is one, shall be the next to try the host: it may be this one that is broken.
            delay = 2 * self._circuit.backoff(lease.host_failures + 1, asked)
            return replace(outcome, give_attempt_back=True, retry_after_seconds=delay.total_seconds())
        if lease.attempt >= self._max_attempts:
            return replace(outcome, status=UrlStatus.ERRORED)
        delay = asked or politeness.backoff(lease.attempt, self._rng)
        return replace(outcome, retry_after_seconds=delay.total_seconds())

    def _is_spared(self, url_id: int) -> bool:
        losses = (self._losses.get(url_id) or 0) + 1
        self._losses.put(url_id, losses)
        return losses <= _SHARED_LOSSES
