"""Contents: every text is kept once, found by every record that has it, and goes when no record is left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from crawler.model import Outcome
from crawler.store.contents import Contents, pack
from crawler.store.schema import contents
from tests.store.conftest import RETENTION_MS, Store, completed

_DAY_MS = 86_400_000


async def _count(store: Store) -> int:
    async with store.database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(contents))).scalar_one()


async def _crawl_one(store: Store, account: str = "local", **changes: object) -> tuple[str, Outcome]:
    """A crawl of one page that ends with this content."""
    crawl_id = await store.create(account=account)
    outcome = replace(completed(await store.lease_one()), **changes)  # type: ignore[arg-type]
    await store.finisher.finish([outcome])
    return crawl_id, outcome


async def test_every_text_of_a_record_comes_back(store: Store) -> None:
    details = {"description": "Fähren", "wordCount": 3, "nested": {"a": [1, None]}}
    crawl_id, outcome = await _crawl_one(
        store, markdown="# Ferry\0", json='{"name":"Curlew"}', details=details, etag='W/"1"'
    )
    (record,) = (await store.records.read("local", crawl_id, cursor=0, limit=1, status=None)).records
    assert (record.html, record.markdown, record.json) == (outcome.html, "# Ferry\0", '{"name":"Curlew"}')
    assert record.details == details


async def test_the_same_text_is_kept_once_over_crawls_and_accounts(store: Store) -> None:
    first, _ = await _crawl_one(store, html="same", markdown="same")
    second, _ = await _crawl_one(store, "other", html="same", markdown="different")
    assert await _count(store) == 2
    for account, crawl_id in (("local", first), ("other", second)):
        (record,) = (await store.records.read(account, crawl_id, cursor=0, limit=1, status=None)).records
        assert record.html == "same"


async def test_contents_go_with_their_last_record_and_not_before(store: Store) -> None:
    sweeper = Contents(store.database)
    await _crawl_one(store, html="kept by the second crawl", markdown="only of the first")
    await store.clock.advance(RETENTION_MS - 10_000)
    await _crawl_one(store, html="kept by the second crawl")
    await store.clock.advance(11_000)
    while await store.crawls.delete_expired():
        pass
    assert await sweeper.sweep() == 0, "a text that was in use a moment ago is not looked at"
    await store.clock.advance(_DAY_MS // 2)
    async with store.database.write() as connection:
        await connection.execute(contents.update().values(used_at=0))
    assert await sweeper.sweep() == 2
    assert await _count(store) == 1
    async with store.database.read() as connection:
        (left,) = (await connection.execute(select(contents.c.used_at))).scalars()
    assert left > 0, "what is in use is marked, so that the next sweep looks at others"
    assert await sweeper.sweep() == 0


async def test_a_text_that_is_stored_again_is_not_swept_away_meanwhile(store: Store) -> None:
    """The page's transaction is still open when the sweep looks at its only, long unused content."""
    if store.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: they cannot meet")
    sweeper = Contents(store.database)
    await _crawl_one(store, html="text")
    await store.clock.advance(RETENTION_MS + 2 * _DAY_MS)
    while await store.crawls.delete_expired():
        pass
    async with store.database.write() as connection:
        await store.create()
        lease = await store.lease_one()
        packed = pack(replace(completed(lease), html="text"))
        assert packed is not None
        await sweeper.store(connection, [packed])
        assert await sweeper.sweep() == 0
    assert await _count(store) == 1
    assert await sweeper.sweep() == 0
