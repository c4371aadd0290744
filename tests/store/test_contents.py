"""Contents: every text is kept once, and found by every record that has it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import func, select

from crawler.model import Outcome
from crawler.store.schema import contents
from tests.store.conftest import Store, completed


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
