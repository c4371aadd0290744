"""How often an account may ask, and how often an address may fail to say who it is."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from crawler.recent import Recent
from crawler.settings import Settings

#: Buckets kept per process; the one that was used least recently goes first.
_MAX_BUCKETS = 10_000
#: A limiter that is slow or away must not hold up the request that it was to count.
_REDIS_TIMEOUT_SECONDS = 0.25
_log = logging.getLogger(__name__)


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


class RedisLimiter:
    """A window per key in Redis, shared by all processes. Lets requests pass while Redis is away."""

    def __init__(self, client: Redis, rate_per_second: float) -> None:
        self._client = client
        # Below one request per second the window is longer, so that one request fits.
        self._window_seconds = max(1, math.ceil(1 / rate_per_second))
        self._most = math.floor(rate_per_second * self._window_seconds)

    async def take(self, key: str) -> int:
        """See RateLimiter."""
        window, passed = divmod(int(time.time()), self._window_seconds)
        name = f"crawl:requests:{key}:{window}"
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.incr(name)
                pipeline.expire(name, self._window_seconds + 1)
                count, _ = await pipeline.execute()
        except (TimeoutError, RedisError, OSError) as error:
            _log.warning("rate limiter is away, requests pass: %s", error)
            return 0
        return 0 if count <= self._most else self._window_seconds - passed


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
        client = Redis.from_url(
            settings.broker_url,
            socket_timeout=_REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
        )
        async with client:
            yield RedisLimiter(client, rate)


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
