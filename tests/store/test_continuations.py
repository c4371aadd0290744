"""Retrying and going on: a child crawls what its parent left undone, and nothing that its line has."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, text

from crawler.errors import InvalidRequest, NotFound, RateLimited
from crawler.model import CrawlStatus, ErrorCode, Outcome, UrlStatus
from crawler.store.admission import Admission
from crawler.store.continuations import Continuations
from crawler.store.crawls import Quotas
from crawler.store.retention import BatchLimits, Deleted, Retention
from crawler.store.schema import accounts, crawls
from crawler.store.secrets import KeyRing, Secrets
from tests.store.conftest import HELD_PAGES, RETENTION_MS, Store, completed, found

SITE = "https://site.test/"


@pytest.fixture
def continuations(store: Store) -> Continuations:
    admission = Admission(store.database, max_sitemaps=50, max_held_pages=HELD_PAGES)
    return Continuations(store.database, store.crawls, Secrets(store.database, KeyRing([])), admission)


async def retry(continuations: Continuations, crawl_id: str, key: str | None = None) -> str:
    return (await continuations.retry("local", crawl_id, Quotas(), idempotency_key=key))[0]


async def go_on(continuations: Continuations, crawl_id: str, limit: int, key: str | None = None) -> str:
    return (await continuations.go_on("local", crawl_id, limit, Quotas(), idempotency_key=key))[0]


async def test_retry_crawls_the_errored_pages_and_nothing_else(
    store: Store, continuations: Continuations
) -> None:
    parent = await store.create(limit=3)
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a", SITE + "b")])
    for _ in range(2):
        lease = await store.lease_one()
        bad = Outcome(lease, UrlStatus.ERRORED, ErrorCode.TIMEOUT)
        await store.finisher.finish([bad if lease.url == SITE + "b" else completed(lease)])
    child = await retry(continuations, parent)
    view = await store.crawls.view("local", child)
    assert (view.status, view.parent_id, view.total) == (CrawlStatus.RUNNING, parent, 1)
    lease = await store.lease_one()
    assert (lease.url, lease.depth, lease.attempt) == (SITE + "b", 1, 1)
    done = await store.finisher.finish([completed(lease, SITE + "c", SITE + "a")])
    assert done.ended == [child]
    assert await store.urls_with_status(child) == {SITE + "b": UrlStatus.COMPLETED}
    # The parent is what it was.
    assert (await store.urls_with_status(parent))[SITE + "b"] == UrlStatus.ERRORED
    # What the retried page links to is beyond the child's limit, and can be gone on to.
    grandchild = await go_on(continuations, child, 4)
    assert await store.urls_with_status(grandchild) == {SITE + "c": UrlStatus.QUEUED}


async def test_going_on_admits_the_links_beyond_the_limit(store: Store, continuations: Continuations) -> None:
    parent = await store.create(limit=3)
    links = [SITE + name for name in "abcd"]
    await store.finisher.finish([completed(await store.lease_one(), *links)])
    await store.finisher.finish([completed(await store.lease_one(), SITE + "e", SITE + "c")])
    done = await store.finisher.finish([completed(await store.lease_one(), SITE + "f", SITE)])
    assert done.ended == [parent]
    child = await go_on(continuations, parent, 6)
    assert list(await store.urls_with_status(child)) == [SITE + "c", SITE + "d", SITE + "e"]
    lease = await store.lease_one()
    # Its own limit is reached, so what it finds is held again; what its parent has is no news.
    await store.finisher.finish([completed(lease, SITE, SITE + "a", SITE + "g")])
    for _ in range(2):
        await store.finisher.finish([completed(await store.lease_one())])
    assert (await store.crawls.view("local", child)).status is CrawlStatus.COMPLETED
    last = await go_on(continuations, child, 100)
    assert list(await store.urls_with_status(last)) == [SITE + "f", SITE + "g"]
    for _ in range(2):
        await store.finisher.finish([completed(await store.lease_one(), SITE, SITE + "c")])
    assert (await store.crawls.view("local", last)).status is CrawlStatus.COMPLETED
    with pytest.raises(InvalidRequest, match="nothing to go on with"):
        await go_on(continuations, last, 100)


async def test_going_on_takes_up_what_was_cancelled(store: Store, continuations: Continuations) -> None:
    parent = await store.create(limit=10, sitemaps=True)
    await store.lease_one()
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a")])
    await store.crawls.cancel("local", parent)
    child = await go_on(continuations, parent, 10)
    # robots.txt is read again, and the links of the start wait for the sitemaps as they did before.
    discovery = await store.lease_one()
    assert discovery.url == SITE + "robots.txt"
    await store.finisher.finish(
        [Outcome(discovery, UrlStatus.COMPLETED, found=(found(SITE + "b"), found(SITE)))]
    )
    assert list(await store.urls_with_status(child)) == [SITE + "b", SITE + "a"]


async def test_levels_are_kept_when_a_crawl_goes_on(store: Store, continuations: Continuations) -> None:
    parent = await store.create(limit=3, depth=2)
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a", SITE + "b")])
    await store.finisher.finish([completed(await store.lease_one(), SITE + "deep")])
    await store.crawls.cancel("local", parent)
    child = await go_on(continuations, parent, 4)
    # "b" is on the level above "deep": it comes first, and only then its link to "deep" is known.
    lease = await store.lease_one()
    assert (lease.url, lease.depth) == (SITE + "b", 1)
    await store.finisher.finish([completed(lease)])
    lease = await store.lease_one()
    assert (lease.url, lease.depth) == (SITE + "deep", 2)
    done = await store.finisher.finish([completed(lease, SITE + "too-deep")])
    assert done.ended == [child]


async def test_a_page_that_turns_out_not_to_count_makes_room_for_a_held_link(store: Store) -> None:
    crawl_id = await store.create(limit=2)
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a", SITE + "b")])
    await store.finisher.finish([Outcome(await store.lease_one(), UrlStatus.SKIPPED, "not_modified")])
    lease = await store.lease_one()
    assert lease.url == SITE + "b"
    done = await store.finisher.finish([completed(lease)])
    assert done.ended == [crawl_id]


async def test_only_so_many_pages_have_their_links_held(store: Store, continuations: Continuations) -> None:
    limit = HELD_PAGES + 3
    parent = await store.create(limit=limit)
    links = [f"{SITE}{number}" for number in range(limit - 1)]
    await store.finisher.finish([completed(await store.lease_one(), *links)])
    for number in range(limit - 1):
        lease = await store.lease_one()
        await store.finisher.finish([completed(lease, f"{SITE}beyond-{number}", SITE + "beyond-0")])
    child = await go_on(continuations, parent, 1_000)
    assert list(await store.urls_with_status(child)) == [
        f"{SITE}beyond-{number}" for number in range(HELD_PAGES)
    ]


async def test_what_cannot_go_on(store: Store, continuations: Continuations) -> None:
    crawl_id = await store.create(limit=2)
    for attempt in (retry(continuations, crawl_id), go_on(continuations, crawl_id, 10)):
        with pytest.raises(InvalidRequest, match="still running"):
            await attempt
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a", SITE + "b")])
    await store.finisher.finish([completed(await store.lease_one())])
    with pytest.raises(InvalidRequest, match="nothing to retry"):
        await retry(continuations, crawl_id)
    with pytest.raises(InvalidRequest, match="limit must be at least 3"):
        await go_on(continuations, crawl_id, 2)
    with pytest.raises(NotFound):
        await continuations.go_on("other", crawl_id, 10, Quotas(), idempotency_key=None)
    with pytest.raises(NotFound):
        await continuations.retry("other", crawl_id, Quotas(), idempotency_key=None)
    with pytest.raises(RateLimited):
        await continuations.go_on("local", crawl_id, 10, Quotas(max_daily=1), idempotency_key=None)
    # Nothing of these attempts is left.
    views = await store.crawls.list_views("local", status=None, before=None, limit=10)
    assert [view.id for view in views] == [crawl_id]


@pytest.mark.parametrize("what", ["retry", "go_on"])
async def test_a_parent_that_expires_meanwhile_is_deleted_when_its_child_has_its_copies(
    store: Store, continuations: Continuations, what: str
) -> None:
    if store.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: they cannot meet")
    parent = await store.create(limit=3)
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a", SITE + "b")])
    await store.finisher.finish([Outcome(await store.lease_one(), UrlStatus.ERRORED, ErrorCode.TIMEOUT)])
    await store.crawls.cancel("local", parent)
    quotas = Quotas(max_running=9)
    if what == "retry":
        start = continuations.retry("local", parent, quotas, idempotency_key=None)
    else:
        start = continuations.go_on("local", parent, 9, quotas, idempotency_key=None)
    async with store.database.write() as connection:
        # Quotas are counted between the look at the parent and the copies: there it stops until we let it go on.
        await connection.execute(select(accounts.c.id).with_for_update())
        starting = asyncio.create_task(start)
        await until_waiting(store, "%FROM accounts%")
        await store.clock.advance(RETENTION_MS + 1)
        retention = Retention(store.database, BatchLimits())
        deleting = asyncio.create_task(retention.delete_expired(budget_seconds=0))
        await until_waiting(store, "%FROM crawls%", or_done=deleting)
    child, _ = await starting
    assert (await deleting).rows > 0
    with pytest.raises(NotFound):
        await store.crawls.view("local", parent)
    assert (await store.crawls.view("local", child)).queued == 1
    assert list((await store.urls_with_status(child)).values()) == [UrlStatus.QUEUED]
    assert (await store.finisher.finish([completed(await store.lease_one())])).ended == [child]


async def until_waiting(store: Store, query: str, or_done: asyncio.Task[Deleted] | None = None) -> None:
    """Until a statement LIKE `query` waits for a lock of somebody else, or the task is done."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE :query"
    )
    async with asyncio.timeout(30), store.database.read() as connection:
        while not (await connection.execute(waiting, {"query": query})).scalar():
            if or_done is not None and or_done.done():
                return


async def test_a_parent_of_which_a_part_is_deleted_is_gone(
    store: Store, continuations: Continuations
) -> None:
    """Who deletes was quicker, and has come to a batch's end when the parent's row can be had."""
    if store.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time: they cannot meet")
    parent = await store.create(limit=3)
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a", SITE + "b")])
    await store.crawls.cancel("local", parent)
    async with store.database.write() as connection:
        await connection.execute(select(crawls.c.id).with_for_update())
        starting = asyncio.create_task(go_on(continuations, parent, 9))
        await until_waiting(store, "%FROM crawls%")
        await store.clock.advance(RETENTION_MS + 1)
    with pytest.raises(NotFound):
        await starting


async def test_the_same_key_gives_the_same_child(store: Store, continuations: Continuations) -> None:
    parent = await store.create(limit=1)
    await store.finisher.finish([completed(await store.lease_one(), SITE + "a")])
    child = await go_on(continuations, parent, 2, key="k")
    assert await go_on(continuations, parent, 2, key="k") == child
    assert await go_on(continuations, parent, 2) != child
    with pytest.raises(InvalidRequest, match="Idempotency-Key"):
        await go_on(continuations, parent, 3, key="k")
