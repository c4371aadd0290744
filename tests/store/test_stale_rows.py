"""What the tick forgets of hosts: it looks first, without reading all of a large table, and mostly writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import Table, event, func, insert, select, text

from crawler.politeness import Circuit
from crawler.store.addresses import Addresses
from crawler.store.circuits import Circuits
from crawler.store.schema import addresses, circuits, robots
from tests.store.conftest import Store

_KEPT_SECONDS = 7 * 86_400
_ROWS = 5_000
_CIRCUIT = Circuit(opens_after=3, down_after=5, down=timedelta(minutes=10))


def _row(table: Table, number: int, at: int) -> dict[str, object]:
    """A row that says something until `at`."""
    return {
        "robots": {"origin": f"http://h{number}.test", "state": "none", "expires_at": at},
        "circuits": {"host_id": number, "origin": f"http://h{number}.test", "next_try_at": at},
        "addresses": {"address": str(number), "next_at": at, "ask_again_at": at},
    }[table.name]


def _chore(store: Store, table: Table) -> Callable[[], Awaitable[int]]:
    return {
        "robots": lambda: store.robots.delete_stale(older_than_seconds=_KEPT_SECONDS),
        "circuits": Circuits(store.database, _CIRCUIT).delete_stale,
        "addresses": Addresses(store.database, gap_ms=200).delete_idle,
    }[table.name]


@asynccontextmanager
async def _nobody_else_can_write(store: Store, table: Table) -> AsyncIterator[None]:
    async with store.database.write() as connection:
        if not store.database.is_sqlite:
            await connection.execute(text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE"))
        yield


@pytest.mark.parametrize("table", [robots, circuits, addresses], ids=lambda table: table.name)
async def test_rows_that_are_not_old_cost_no_write(store: Store, table: Table) -> None:
    delete = _chore(store, table)
    now_ms = store.clock()
    async with store.database.write() as connection:
        await connection.execute(insert(table), [_row(table, number, now_ms) for number in range(3)])
    async with _nobody_else_can_write(store, table), asyncio.timeout(10):
        assert await delete() == 0
    await store.clock.advance((_KEPT_SECONDS + 60) * 1000)
    async with store.database.write() as connection:
        await connection.execute(insert(table), _row(table, 3, store.clock()))
    assert await delete() == 3
    assert await delete() == 0
    async with store.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(table))).scalar_one() == 1


@pytest.mark.parametrize(
    ("table", "index"),
    [(robots, "ix_robots_expiry"), (circuits, "ix_circuits_next_try")],
    ids=["robots", "circuits"],
)
async def test_old_rows_are_found_by_index_among_many(store: Store, table: Table, index: str) -> None:
    now_ms = store.clock()
    async with store.database.write() as connection:
        await connection.execute(insert(table), [_row(table, number, now_ms) for number in range(_ROWS)])
        await connection.execute(text("ANALYZE"))
    looks: list[tuple[str, object]] = []

    def keep(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT"):
            looks.append((statement, parameters))

    reader = store.database._reader.sync_engine
    event.listen(reader, "before_cursor_execute", keep)
    assert await _chore(store, table)() == 0
    event.remove(reader, "before_cursor_execute", keep)
    ((statement, parameters),) = looks
    explain = "EXPLAIN QUERY PLAN" if store.database.is_sqlite else "EXPLAIN"
    async with store.database.read() as connection:
        plan = await connection.exec_driver_sql(f"{explain} {statement}", parameters)  # type: ignore[arg-type]
        assert index in " ".join(str(row) for row in plan)
