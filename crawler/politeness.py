"""How long to wait, as decisions on values: the frontier stores them and hands nothing out before its time."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_FIRST_BACKOFF = timedelta(seconds=1)
_LONGEST_BACKOFF = timedelta(seconds=60)
#: Two to this power times the first backoff is past the longest one; keeps the power small.
_MAX_DOUBLINGS = 6

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


def host_backoff(
    status: int | None, consecutive_errors: int, retry_after: timedelta | None
) -> timedelta | None:
    """How far an answer pushes the whole host out, None for not at all.

    `status` None is a failed connection. 429 and 503 wait as the host asks, else longer with every one of its
    `consecutive_errors` (this one included). Any other answer, an error too, is about the page and not the host.
    """
    if status not in (None, 429, 503):
        return None
    if status is not None and retry_after is not None:
        return retry_after
    return _doubled(consecutive_errors)


def _doubled(times: int) -> timedelta:
    doublings = min(max(times - 1, 0), _MAX_DOUBLINGS)
    return min(_FIRST_BACKOFF * (1 << doublings), _LONGEST_BACKOFF)
