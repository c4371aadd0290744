"""How long to wait, as decisions on values: the frontier stores them and hands nothing out before its time.

A host's *circuit* opens when it has failed several times in a row: from then on its pages wait for it, and one at a
time tries whether it is back. After some more failures the host is *down*: for a while its pages end without asking
(`docs/adr/0015-hosts-that-are-away.md`).
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Self

from crawler.model import ErrorCode, Failure, HostSign
from crawler.settings import Settings

_FIRST_BACKOFF = timedelta(seconds=1)
_LONGEST_BACKOFF = timedelta(seconds=60)
#: Two to this power times the first backoff is past the longest one; keeps the power small.
_MAX_DOUBLINGS = 6

#: Answers of a host that is overloaded, or of one before it that cannot reach it.
_BUSY = frozenset({429, 502, 503, 504})
_HOST_IS_AWAY = frozenset({ErrorCode.CONNECT_FAILED, ErrorCode.DNS_FAILURE, ErrorCode.TIMEOUT})
#: The host has had no part in these.
_OUR_OWN = frozenset({ErrorCode.BLOCKED_DESTINATION, ErrorCode.BROWSER_CRASHED, ErrorCode.WORKER_LOST})

_DELAY_SECONDS = re.compile(r"[0-9]+")


def interval(crawl_delay: float | None, default_delay: float, max_delay: float) -> timedelta:
    """Time between two requests to one host; all arguments in seconds.

    robots.txt may slow us down up to `max_delay`, but never speed us up beyond the operator's `default_delay`.
    """
    if crawl_delay is None or not math.isfinite(crawl_delay) or crawl_delay < 0:
        # An infinite delay is a mistake in the file as much as a negative one.
        return timedelta(seconds=default_delay)
    return timedelta(seconds=max(default_delay, min(crawl_delay, max_delay)))


def retry_after(header: str | None, now: datetime, cap: timedelta) -> timedelta | None:
    """Read a Retry-After header (RFC 9110 10.2.3): seconds or a date, at most `cap`, never negative.

    `now` must be aware. None when there is no header or it is neither form.
    """
    value = (header or "").strip()
    if _DELAY_SECONDS.fullmatch(value):
        digits = value.lstrip("0") or "0"
        # A number of many digits is past the cap; int() and timedelta would raise on it.
        return min(timedelta(seconds=int(digits)), cap) if len(digits) < 10 else cap
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max(date - now, timedelta(0)), cap)


def backoff(attempt: int, rng: random.Random) -> timedelta:
    """Wait before the attempt after `attempt` (from 1): doubling from 1 s to 60 s, of which a random half to all.

    The spread keeps URLs that failed together from coming back together.
    """
    return _doubled(attempt) * rng.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Circuit:
    """After how many failures in a row a host's pages wait for it, after how many it is down, and for how long."""

    opens_after: int
    down_after: int
    down: timedelta

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """As the operator wants it."""
        return cls(
            settings.host_failures_to_wait,
            settings.host_failures_to_give_up,
            timedelta(seconds=settings.host_down_seconds),
        )

    def is_open(self, failures: int) -> bool:
        """Whether a page that is tried now only tries the host, so that its attempt does not count."""
        return failures >= self.opens_after

    def is_down(self, failures: int) -> bool:
        """Whether the host is given up for the time being."""
        return failures >= self.down_after

    def pause(self, failures: int) -> timedelta:
        """Least time between two requests to the host; zero: no more than always."""
        return _doubled(failures) if self.is_open(failures) else timedelta(0)

    def backoff(self, failures: int, asked: timedelta | None) -> timedelta:
        """How far a failure pushes the host out: as it asked, else doubling with its `failures` (this one included).

        Less than a pause only as long as the circuit is closed. A host that is down is not asked anyway.
        """
        if self.is_down(failures):
            return timedelta(0)
        return max(self.pause(failures), _doubled(failures) if asked is None else asked)

    def count(self, known: int, *, seen: int, new: int) -> int:
        """Failures in a row of a host that had `known`, when `new` requests failed that left when it had `seen`.

        What was under way when the circuit opened says nothing new: from then on only the tries count, one by one.
        """
        if not self.is_open(known):
            return min(known + new, self.opens_after)
        return known + 1 if seen >= known else known


def sign_of_answer(status: int, retry_after: timedelta | None) -> HostSign:
    """What an HTTP answer of the host says about it. An error that is not passing is the page's own."""
    if status not in _BUSY:
        return HostSign()
    seconds = None if retry_after is None else retry_after.total_seconds()
    return HostSign(ErrorCode.HTTP_ERROR, seconds)


def sign_of_failure(failure: Failure) -> HostSign | None:
    """What a failed request says about the host that it was for; None: nothing."""
    if failure.code in _HOST_IS_AWAY:
        # Others (a slow script, a robots.txt that is known to be out of reach) are no news of the network.
        return HostSign(failure.code) if failure.retryable else None
    return None if failure.code in _OUR_OWN else HostSign()


def _doubled(times: int) -> timedelta:
    doublings = min(max(times - 1, 0), _MAX_DOUBLINGS)
    return min(_FIRST_BACKOFF * (1 << doublings), _LONGEST_BACKOFF)
