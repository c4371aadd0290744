"""What is past its retention goes in small transactions, all of it, and nothing else, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from crawler.store.contents import Contents, pack
from crawler.store.database import Database
from crawler.store.retention import BatchLimits, BatchSize, Retention
from crawler.store.schema import bodies, contents, crawls, events, held_links, urls
from tests.store.conftest import RETENTION_MS, Store, completed

_DAY_MS = 86_400_000
_PAGES = 22
#: So small that the crawl takes several batches.
_LIMITS = BatchLimits(rows=10)
_OF_CRAWLS = (urls, bodies, held_links, events)


async def _count(store: Store) -> dict[str, int]:
    async with store.database.read() as connection:
        return {
            table.name: (await connection.execute(select(func.count()).select_from(table))).scalar_one()
            for table in (crawls, *_OF_CRAWLS, contents)
        }


async def _crawl(store: Store, name: str, *, text: str = "", pages: int = _PAGES) -> str:
    """A crawl that has ended at its limit of `pages` pages. They have `text`, or each one of its own."""
    crawl_id = await store.create(f"https://site.test/{name}/", limit=pages)
    links = [f"https://site.test/{name}/{number}" for number in range(pages + 4)]
    for number in range(pages):
        outcome = completed(await store.lease_one(), *links[: number + 5])
        await store.finisher.finish([replace(outcome, html=text or outcome.html)])
    return crawl_id


def _retention(store: Store) -> Retention:
    """As a process has it that has just started."""
    return Retention(store.database, _LIMITS)


async def _make_texts_old(store: Store) -> None:
    async with store.database.write() as connection:
        await connection.execute(contents.update().values(used_at=0))


async def test_x43_no_batch_is_larger_than_its_limit_and_each_may_be_the_last_of_its_process(
    store: Store,
) -> None:
    await _crawl(store, "site")
    before = await _count(store)
    assert before["urls"] == before["bodies"] == _PAGES
    assert before["held_links"] > 0
    assert before["events"] > _LIMITS.rows
    rows = sum(before[table.name] for table in (crawls, urls, held_links, events))
    await store.clock.advance(RETENTION_MS + 1)
    left = before
    while (deleted := await _retention(store).delete_expired(budget_seconds=0)).rows:
        assert deleted.batches == 1
        now_left = await _count(store)
        gone = sum(left[table.name] - now_left[table.name] for table in (crawls, urls, held_links, events))
        assert gone == deleted.rows <= _LIMITS.rows
        assert now_left["bodies"] == now_left["urls"]
        assert now_left["crawls"] == 1 or gone == rows, "the crawl goes when nothing of it is left"
        rows, left = rows - gone, now_left
    assert left == {**dict.fromkeys(before, 0), "contents": _PAGES}


async def test_x43_one_call_goes_on_until_nothing_is_left(store: Store) -> None:
    crawl_ids = [await _crawl(store, f"crawl{number}", pages=2) for number in range(3)]
    kept = await _crawl(store, "kept", pages=2)
    async with store.database.write() as connection:
        await connection.execute(crawls.update().where(crawls.c.id.in_(crawl_ids)).values(expires_at=1))
    deleted = await _retention(store).delete_expired(budget_seconds=math.inf)
    assert deleted.batches > 1
    assert deleted.longest_seconds > 0
    left = await _count(store)
    assert (left["crawls"], left["urls"], left["bodies"]) == (1, 2, 2)
    assert len(await store.urls_with_status(kept)) == 2
    assert (await _retention(store).delete_expired(budget_seconds=math.inf)).rows == 0


async def test_x43_who_is_stopped_in_the_middle_of_a_batch_leaves_whole_records(store: Store) -> None:
    await _crawl(store, "site")
    await store.clock.advance(RETENTION_MS + 1)
    turns = 0
    while (before := await _count(store))["crawls"]:
        task = asyncio.create_task(_retention(store).delete_expired(budget_seconds=0))
        # A little later each time: before, between and after the statements of a batch.
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        after = await _count(store)
        assert after["bodies"] == after["urls"] >= before["urls"] - _LIMITS.rows
        turns += 1 + turns // 4


async def test_x43_processes_that_delete_at_once_take_turns(store: Store, store_url: str) -> None:
    for number in range(3):
        await _crawl(store, f"crawl{number}", pages=8)
    before = await _count(store)
    await store.clock.advance(RETENTION_MS + 1)
    async with Database(store_url, clock=store.clock) as other:
        deleted = await asyncio.gather(
            *(
                Retention(database, _LIMITS).delete_expired(budget_seconds=math.inf)
                for database in (store.database, other, store.database)
            )
        )
    assert sum(each.rows for each in deleted) == sum(
        before[table.name] for table in (crawls, urls, held_links, events)
    )
    assert (await _count(store))["crawls"] == 0


async def test_x43_a_text_stays_while_any_record_has_it(store: Store) -> None:
    await _crawl(store, "old", text="shared")
    await _crawl(store, "old")
    await store.clock.advance(RETENTION_MS - 200_000)
    kept = await _crawl(store, "new", text="shared", pages=2)
    await store.clock.advance(200_000)
    while (await _retention(store).delete_expired(budget_seconds=0)).rows:
        # In the middle of it, too: what records are left have their texts.
        await _make_texts_old(store)
        await _retention(store).delete_unused_texts(budget_seconds=math.inf)
        records = (await store.records.read("local", kept, cursor=0, limit=10, status=None)).records
        assert [record.html for record in records] == ["shared", "shared"]
    assert (await _count(store))["contents"] == 1


async def test_texts_in_use_a_moment_ago_are_not_looked_at(store: Store) -> None:
    await _crawl(store, "site", pages=2)
    kept = await _crawl(store, "kept", pages=1)
    async with store.database.write() as connection:
        await connection.execute(crawls.update().where(crawls.c.id != kept).values(expires_at=1))
    retention = _retention(store)
    await retention.delete_expired(budget_seconds=math.inf)
    assert (await retention.delete_unused_texts(budget_seconds=math.inf)).rows == 0
    await _make_texts_old(store)
    assert (await retention.delete_unused_texts(budget_seconds=math.inf)).rows == 3
    async with store.database.read() as connection:
        (used_at,) = (await connection.execute(select(contents.c.used_at))).scalars()
    assert used_at > 0, "what is in use is marked, so that the next look is at others"
    assert (await retention.delete_unused_texts(budget_seconds=math.inf)).rows == 0


async def test_a_text_that_is_stored_again_is_not_deleted_meanwhile(store: Store) -> None:
    """The page's transaction is still open when its only, long unused text is looked at."""
    if store.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: they cannot meet")
    await _crawl(store, "site", text="text", pages=1)
    await store.clock.advance(RETENTION_MS + 2 * _DAY_MS)
    retention = _retention(store)
    await retention.delete_expired(budget_seconds=math.inf)
    async with store.database.write() as connection:
        await store.create()
        packed = pack(replace(completed(await store.lease_one()), html="text"))
        assert packed is not None
        await Contents(store.database).store(connection, [packed])
        assert (await retention.delete_unused_texts(budget_seconds=math.inf)).rows == 0
    assert (await _count(store))["contents"] == 1
    assert (await retention.delete_unused_texts(budget_seconds=math.inf)).rows == 0


def test_x43_a_batch_has_as_many_rows_as_fit_into_its_time() -> None:
    size = BatchSize(BatchLimits(rows=1_000, milliseconds=20))
    for _ in range(20):
        size.learn(size.rows, 0.00005 * size.rows)
    assert 390 <= size.rows <= 400, "0.05 ms a row"
    size.learn(size.rows, 0.04)
    assert 195 <= size.rows <= 200, "the disk has become twice as slow"
    size.learn(size.rows, 5.0)
    assert size.rows == 100, "fewer are hardly quicker"
    for _ in range(30):
        size.learn(3, 0.0001)
    assert size.rows == 100, "batches that were not full say nothing of larger ones"
    for _ in range(30):
        size.learn(size.rows, 0.0001)
    assert size.rows == 1_000
    assert BatchSize(BatchLimits(rows=10)).rows == 10
