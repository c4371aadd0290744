"""What the questions of a crawl to language models have cost, over all workers."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from crawler.store.database import Database
from crawler.store.schema import crawl_spend, crawls


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens, and millionths of the operator's currency."""

    tokens: int
    cost: int


class Spend:
    """Budgets of crawls. 0 stands for no limit."""

    def __init__(self, database: Database, *, max_tokens: int, max_cost: int) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        # A crawl that has been deleted under a page in flight has no budget.
        self._insert = (
            dialect.insert(crawl_spend)
            .from_select(["crawl_id"], select(crawls.c.id).where(crawls.c.id == bindparam("of")))
            .on_conflict_do_nothing()
        )
        table = crawl_spend.c
        add = (
            update(crawl_spend)
            .where(table.crawl_id == bindparam("of"))
            .values(tokens=table.tokens + bindparam("more"), cost=table.cost + bindparam("price"))
        )
        self._settle = add
        reserve = add
        if max_tokens:
            reserve = reserve.where(table.tokens + bindparam("more") <= max_tokens)
        if max_cost:
            reserve = reserve.where(table.cost + bindparam("price") <= max_cost)
        self._reserve = reserve.returning(table.crawl_id)

    async def reserve(self, crawl_id: str, most: Amount) -> bool:
        """Set aside the most that a question can cost; False when the crawl's budget has not so much left.

        What is not settled afterwards, because a worker died, stays spent: a limit is a limit.
        """
        async with self._database.write() as connection:
            await connection.execute(self._insert, {"of": crawl_id})
            parameters = {"of": crawl_id, "more": most.tokens, "price": most.cost}
            return (await connection.execute(self._reserve, parameters)).scalar() is not None

    async def settle(self, crawl_id: str, reserved: Amount, spent: Amount) -> None:
        """Replace what was set aside by what it has really cost."""
        parameters = {
            "of": crawl_id, "more": spent.tokens - reserved.tokens, "price": spent.cost - reserved.cost,
        }  # fmt: skip
        async with self._database.write() as connection:
            await connection.execute(self._settle, parameters)

    async def of(self, crawl_id: str) -> Amount:
        """What the crawl has spent so far."""
        async with self._database.read() as connection:
            chosen = select(crawl_spend.c.tokens, crawl_spend.c.cost).where(
                crawl_spend.c.crawl_id == crawl_id
            )
            row = (await connection.execute(chosen)).one_or_none()
        return Amount(0, 0) if row is None else Amount(row.tokens, row.cost)
