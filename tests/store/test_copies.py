"""Copies for other crawls: found by key and age, or by crawl and URL; and turns that are handed back."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from crawler import urls
from crawler.model import Kind, Outcome, Stored, UrlStatus
from crawler.store.copies import Copies, Past
from crawler.store.schema import crawls, hosts
from tests.store.conftest import RETENTION_MS, Store, completed

URL = "https://site.test/"


async def _crawl(store: Store, **changes: object) -> tuple[str, Outcome]:
    """A crawl of one page that ends with this content."""
    crawl_id = await store.create(URL)
    outcome = replace(completed(await store.lease_one()), **changes)  # type: ignore[arg-type]
    await store.finisher.finish([outcome])
    return crawl_id, outcome


async def test_a_copy_has_all_that_a_crawl_needs_in_its_place(store: Store) -> None:
    copies = Copies(store.database)
    _, outcome = await _crawl(
        store, reuse_key="k", etag='W/"1"', last_modified="then", json="{}", details={"a": 1}, content_hash="h",
        links=("https://site.test/a", "mailto:ü"), confirmed=3, title="T",
    )  # fmt: skip
    await store.clock.advance(5_000)
    found = await copies.newest("k", max_age_seconds=60)
    assert found == Stored(
        http_status=200, final_url=URL, title="T", last_modified="then", etag='W/"1"', html=outcome.html,
        markdown=None, json="{}", details={"a": 1}, content_hash="h", links=outcome.links, reuse_key="k",
        confirmed=3, steady_ms=None, asked_at=None, age_ms=found.age_ms if found else 0,
    )  # fmt: skip
    assert 5_000 <= found.age_ms < 60_000
    assert await copies.newest("other", max_age_seconds=60) is None


async def test_a_page_that_was_taken_over_is_as_old_as_its_last_answer(store: Store) -> None:
    copies = Copies(store.database)
    first, _ = await _crawl(store, steady_ms=7_000)
    found = await copies.of_crawl(first, urls.key(URL))
    assert found is not None
    assert found.asked_at is not None
    await store.clock.advance(5_000)
    second, _ = await _crawl(store, steady_ms=7_000, asked_at=found.asked_at)
    third, _ = await _crawl(store, steady_ms=None, asked_at=found.asked_at)
    again = await copies.of_crawl(second, urls.key(URL))
    assert again is not None
    assert (again.steady_ms, again.asked_at) == (7_000, found.asked_at)
    assert again.age_ms >= found.age_ms + 5_000
    never = await copies.of_crawl(third, urls.key(URL))
    assert never is not None
    assert (never.steady_ms, never.asked_at) == (None, None)
    assert 0 <= never.age_ms < again.age_ms


async def test_the_newest_copy_within_its_age_and_its_crawls_life(store: Store) -> None:
    copies = Copies(store.database)
    await _crawl(store, html="older", reuse_key="k")
    await store.clock.advance(100_000)
    await _crawl(store, html="newer", reuse_key="k")
    await _crawl(store, html="not to be kept", reuse_key=None)
    found = await copies.newest("k", max_age_seconds=1_000)
    assert found is not None
    assert found.html == "newer"
    await store.clock.advance(50_000)
    assert await copies.newest("k", max_age_seconds=40) is None
    await store.clock.advance(RETENTION_MS)
    assert await copies.newest("k", max_age_seconds=10_000) is None, "its crawl has expired"


async def test_the_page_of_a_crawl_by_its_url(store: Store) -> None:
    copies = Copies(store.database)
    first, _ = await _crawl(store, html="first")
    second = await store.create(URL)
    failed = Outcome(await store.lease_one(), UrlStatus.ERRORED, "http_error", http_status=500, html="error")
    await store.finisher.finish([failed])
    key = urls.key(URL)
    found = await copies.of_crawl(first, key)
    assert found is not None
    assert found.html == "first"
    assert await copies.of_crawl(second, key) is None, "a page that failed stands for nothing"


async def test_the_crawl_before_is_the_newest_completed_one_of_the_same_start_and_shape(store: Store) -> None:
    copies = Copies(store.database)
    made: dict[str, str] = {}
    for name, url, fingerprint in (
        ("first", URL, "f"),
        ("second", URL, "f"),
        ("leaves out", URL, "f"),
        ("other shape", URL, "g"),
        ("other start", "https://other.test/", "f"),
        ("retry", URL, "f"),
        ("running", URL, "f"),
        ("last", URL, "f"),
    ):
        options = '{"modifiedSince":1}' if name == "leaves out" else "{}"
        made[name] = await store.create(url, options=options)
        if name not in {"running", "last"}:
            await store.finisher.finish([completed(await store.lease_one())])
        async with store.database.write() as connection:
            chosen = crawls.update().where(crawls.c.id == made[name])
            parent_id = made["second"] if name == "retry" else None
            await connection.execute(chosen.values(fingerprint=fingerprint, parent_id=parent_id))
        await store.clock.advance(1_000)
    assert await copies.past(made["last"]) == Past("f", made["second"], has_others=True)
    assert await copies.past(made["second"]) == Past("f", made["first"], has_others=True)
    assert await copies.past(made["other shape"]) == Past("g", None, has_others=False)
    assert await copies.past("none") == Past("", None, has_others=False)


async def test_a_turn_that_was_not_used_is_free_unless_the_next_is_taken(store: Store) -> None:
    await store.create(URL)
    lease = await store.lease_one()
    links = [f"{URL}{number}" for number in range(3)]
    await store.finisher.finish([completed(lease, *links)])
    await store.clock.advance(1_000)
    unused = []
    for _ in range(2):
        (lease,) = (await store.frontier.lease(Kind.STATIC, 1)).leases
        done = await store.finisher.finish([replace(completed(lease), unused_turn=True)])
        assert done.queued, "the pump is told to look again"
        unused.append(lease.url)
    assert unused == links[:2], "one after the other without half a second between them"
    (lease,) = (await store.frontier.lease(Kind.STATIC, 1)).leases
    assert (await store.hosts.reserve(lease.host)).wait_seconds > 0
    await store.finisher.finish([replace(completed(lease), unused_turn=True)])
    async with store.database.read() as connection:
        (next_fetch_at,) = (await connection.execute(select(hosts.c.next_fetch_at))).scalars()
    assert next_fetch_at == lease.next_fetch_at + 500, "somebody else's turn stays"
