"""How often an account may ask, and how often an address may fail to say who it is."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Protocol

from crawler.recent import Recent
from crawler.settings import Settings

#: Buckets kept per process; the one that was used least recently goes first.
_MAX_BUCKETS = 10_000


class RateLimiter(Protocol):
    """Counts requests by some key."""

    async def take(self, key: str) -> int:
        """Count one request; 0 when it may go on, else after how many seconds to try again."""
        ...


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class MemoryLimiter:
    """A token bucket per key, in this process: `rate_per_second` for ever, and a burst on top of a rest."""

    def __init__(
        self, rate_per_second: float, *, burst: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate_per_second
        self._burst = max(1.0, burst)
        self._monotonic = monotonic
        self._buckets = Recent[str, _Bucket](_MAX_BUCKETS)

    async def take(self, key: str) -> int:
        """See RateLimiter."""
        moment = self._monotonic()
        bucket = self._buckets.get(key) or _Bucket(self._burst, moment)
        self._buckets.put(key, bucket)
        bucket.tokens = min(self._burst, bucket.tokens + (moment - bucket.filled_at) * self._rate)
        bucket.filled_at = moment
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        return math.ceil((1 - bucket.tokens) / self._rate)


class Unlimited:
    """No limit."""

    async def take(self, key: str) -> int:
        """See RateLimiter."""
        return 0


@asynccontextmanager
async def open_limiter(settings: Settings) -> AsyncIterator[RateLimiter]:
    """The limiter that the settings ask for."""
    rate = settings.rate_limit_per_second
    if not rate:
        yield Unlimited()
    elif settings.embedded:
        yield MemoryLimiter(rate, burst=rate)
    else:
        # Without a broker there is no Redis, and its client need not be loaded.
        from api.redis_limiter import open_redis_limiter  # noqa: PLC0415

        async with open_redis_limiter(settings.broker_url, rate) as limiter:
            yield limiter


def network_of(address: str) -> str:
    """Whom to count failures against: an IPv4 address, or the /64 that one IPv6 site has for itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ip_network((parsed, 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(parsed)
