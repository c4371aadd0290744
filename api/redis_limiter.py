"""How often an account may ask, counted for all processes together."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import RedisError

#: A limiter that is slow or away must not hold up the request that it was to count.
_TIMEOUT_SECONDS = 0.25
log = logging.getLogger(__name__)


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
            log.warning("rate limiter is away, requests pass: %s", error)
            return 0
        return 0 if count <= self._most else self._window_seconds - passed


@asynccontextmanager
async def open_redis_limiter(url: str, rate_per_second: float) -> AsyncIterator[RedisLimiter]:
    """A limiter with a client of its own for the Redis at `url`."""
    client = Redis.from_url(url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS)
    async with client:
        yield RedisLimiter(client, rate_per_second)
