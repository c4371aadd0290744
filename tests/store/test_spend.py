"""Budgets of crawls, exact whoever spends them."""

from __future__ import annotations

import asyncio

from crawler.store.spend import Amount, Spend
from tests.store.conftest import Store


async def test_a_budget_is_never_overdrawn_however_many_spend_it(store: Store) -> None:
    crawl_id = await store.create()
    spenders = [Spend(store.database, max_tokens=100, max_cost=0) for _ in range(4)]
    granted = await asyncio.gather(
        *(spender.reserve(crawl_id, Amount(10, 1)) for spender in spenders for _ in range(4))
    )
    assert sum(granted) == 10
    assert await spenders[0].of(crawl_id) == Amount(100, 10)


async def test_what_was_set_aside_and_not_spent_is_given_back(store: Store) -> None:
    crawl_id, other_id = await store.create(), await store.create("https://other.test/")
    spend = Spend(store.database, max_tokens=0, max_cost=50)
    assert await spend.reserve(crawl_id, Amount(1_000_000, 50))
    assert not await spend.reserve(crawl_id, Amount(1, 1))
    assert await spend.reserve(other_id, Amount(1, 1))
    await spend.settle(crawl_id, Amount(1_000_000, 50), Amount(7, 3))
    assert await spend.of(crawl_id) == Amount(7, 3)
    assert await spend.reserve(crawl_id, Amount(1, 47))


async def test_a_crawl_that_is_gone_has_no_budget(store: Store) -> None:
    spend = Spend(store.database, max_tokens=10, max_cost=10)
    assert not await spend.reserve("00000000-0000-4000-8000-000000000000", Amount(1, 1))
