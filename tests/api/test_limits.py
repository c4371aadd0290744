"""The rate limiters: the same promises in memory and in Redis."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from api.limits import MemoryLimiter, RateLimiter, Unlimited, network_of, open_limiter
from api.redis_limiter import RedisLimiter
from crawler.store.database import Database
from crawler.store.schema import crawls
from tests.api.server import serving, settings


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def each_broker_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("redis_url")) if request.param == "redis" else ""


@pytest.fixture
async def limiter(each_broker_url: str, tmp_path: Path) -> AsyncIterator[RateLimiter]:
    """Three requests per second."""
    async with open_limiter(
        settings(tmp_path, broker_url=each_broker_url, rate_limit_per_second=3)
    ) as opened:
        yield opened


async def test_a_burst_is_cut_and_told_when_to_come_back(limiter: RateLimiter) -> None:
    waits = [await limiter.take("a") for _ in range(20)]
    assert waits[0] == 0
    assert waits.count(0) <= 7
    assert set(waits) <= {0, 1}
    assert 1 in waits


async def test_who_waits_as_told_may_go_on(limiter: RateLimiter) -> None:
    async with asyncio.timeout(10):
        while (wait_seconds := await limiter.take("a")) == 0:
            pass
        await asyncio.sleep(wait_seconds)
    assert await limiter.take("a") == 0


async def test_keys_do_not_share(limiter: RateLimiter) -> None:
    while await limiter.take("a") == 0:
        pass
    assert await limiter.take("b") == 0


async def test_below_one_per_second_one_request_still_passes(each_broker_url: str, tmp_path: Path) -> None:
    chosen = settings(tmp_path, broker_url=each_broker_url, rate_limit_per_second=0.2)
    async with open_limiter(chosen) as limiter:
        assert await limiter.take("a") == 0
        waits = [await limiter.take("a"), await limiter.take("a")]
        assert 1 <= max(waits) <= 5


async def test_two_processes_share_one_limit_in_redis(redis_url: str, tmp_path: Path) -> None:
    chosen = settings(tmp_path, broker_url=redis_url, rate_limit_per_second=3)
    async with open_limiter(chosen) as one, open_limiter(chosen) as two:
        assert isinstance(one, RedisLimiter)
        waits = [await limiter.take("a") for _ in range(10) for limiter in (one, two)]
    assert waits.count(0) <= 7


async def test_requests_pass_while_redis_is_away(tmp_path: Path) -> None:
    chosen = settings(tmp_path, broker_url="redis://127.0.0.1:9/0", rate_limit_per_second=1)
    async with open_limiter(chosen) as limiter:
        assert [await limiter.take("a") for _ in range(3)] == [0, 0, 0]


async def test_a_rate_of_zero_is_no_limit(tmp_path: Path) -> None:
    async with open_limiter(settings(tmp_path, rate_limit_per_second=0)) as limiter:
        assert isinstance(limiter, Unlimited)
        assert [await limiter.take("a") for _ in range(1_000)] == [0] * 1_000


@given(
    st.floats(0.1, 100),
    st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
async def test_never_more_than_the_burst_and_the_rate_pass(rate: float, gaps: list[float]) -> None:
    moment = 0.0
    limiter = MemoryLimiter(rate, burst=rate, monotonic=lambda: moment)
    passed = 0
    for gap in gaps:
        moment += gap
        wait_seconds = await limiter.take("a")
        passed += wait_seconds == 0
        assert wait_seconds <= max(1, 1 / rate) + 1
    assert passed <= max(1.0, rate) + moment * rate + 1e-6


async def test_buckets_are_bounded(tmp_path: Path) -> None:
    limiter = MemoryLimiter(1, burst=1)
    assert await limiter.take("first") == 0
    for number in range(10_001):
        await limiter.take(str(number))
    # It was forgotten, so it has its burst again.
    assert await limiter.take("first") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_failures_count_against_an_address_or_a_site(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.slow
async def test_g4_posts_without_end_are_refused_and_leave_nothing_behind(
    tmp_path: Path, endless_seed: str
) -> None:
    """A hundred at once: what is over the rate is told when to come back, what is over the quota is not queued."""
    chosen = settings(tmp_path, rate_limit_per_second=20, max_running_crawls=3)
    async with serving(chosen) as server:
        answers = await asyncio.gather(
            *(server.post({"url": endless_seed, "render": False}) for _ in range(100))
        )
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() == {200, 429}
        assert statuses[200] == 3
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 429)
        async with Database(chosen.database) as database, database.read() as connection:
            assert (await connection.execute(select(func.count()).select_from(crawls))).scalar_one() == 3
