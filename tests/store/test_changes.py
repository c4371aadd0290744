"""Comparing two crawls by their rows: every page is one thing, and nothing is called removed on suspicion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from crawler.changes import Comparison, PageChange
from crawler.errors import InvalidRequest, NotFound
from crawler.model import ErrorCode, Kind, Outcome, UrlStatus
from crawler.store.admission import Admission
from crawler.store.changes import Changes
from crawler.store.continuations import Continuations
from crawler.store.crawls import Quotas
from crawler.store.secrets import KeyRing, Secrets
from tests.store.conftest import HELD_PAGES, Store, completed, found

SITE = "https://site.test/"
#: What a page says, what it links to, by its path; or the HTTP status with which it fails (0: it does not answer, 304:
#: it is left out).
Pages = Mapping[str, tuple[str, str] | int]

START: Pages = {
    "": ("start", "a b c"),
    "a": ("alpha", "d"),
    "b": ("beta", ""),
    "c": ("gamma", ""),
    "d": ("delta", ""),
}


async def crawl(
    store: Store,
    pages: Pages,
    asked: Mapping[str, object] | None = None,
    *,
    limit: int = 100,
    depth: int = 100_000,
) -> str:
    """Crawl a site to the end; `asked` is the rest of the request."""
    crawl_id = await store.create(SITE, limit=limit, depth=depth, options=json.dumps(asked or {}))
    while await work(store, pages):
        pass
    return crawl_id


async def work(store: Store, pages: Pages) -> bool:
    await store.clock.advance(1_000)
    leases = (await store.frontier.lease(Kind.STATIC, 1)).leases
    for lease in leases:
        page = pages.get(lease.url.removeprefix(SITE), 404)
        if page == 304:
            outcome = Outcome(lease, UrlStatus.SKIPPED, "not_modified")
        elif isinstance(page, int):
            code = ErrorCode.HTTP_ERROR if page else ErrorCode.TIMEOUT
            outcome = Outcome(lease, UrlStatus.ERRORED, code, http_status=page or None)
        else:
            text, links = page
            outcome = completed(lease, *(SITE + name for name in links.split()))
            outcome = replace(outcome, content_hash=text, markdown=f"# {text}\n")
        await store.finisher.finish([outcome])
    return bool(leases)


async def compare(store: Store, crawl_id: str, *, limit: int = 100, **query: object) -> Comparison:
    arguments: dict[str, object] = {"against": None, "cursor": 0, "change": None, **query}
    return await Changes(store.database).read("local", crawl_id, limit=limit, **arguments)  # type: ignore[arg-type]


def told(comparison: Comparison) -> dict[str, str]:
    return {
        page.url.removeprefix(SITE): f"{page.change}{':' if page.reason else ''}{page.reason}"
        for page in comparison.pages
    }


async def test_every_page_is_new_same_changed_or_removed(store: Store) -> None:
    first = await crawl(store, START)
    assert set(told(await compare(store, first)).values()) == {"new"}
    second = await crawl(
        store, {**START, "": ("start", "a b e"), "a": ("alpha!", "d"), "b": 410, "e": ("eps", "")}
    )
    comparison = await compare(store, second)
    assert comparison.against_id == first
    assert told(comparison) == {
        "": "same",
        "a": "changed",
        "b": "removed:gone",
        "e": "new",
        "d": "same",
        "c": "removed:not_linked",
    }
    assert comparison.counts == {
        PageChange.NEW: 1,
        PageChange.SAME: 2,
        PageChange.CHANGED: 1,
        PageChange.REMOVED: 2,
        PageChange.UNKNOWN: 0,
    }
    texts = [
        await Changes(store.database).read_markdown(page)
        for page in comparison.pages
        if page.change is PageChange.CHANGED
    ]
    assert texts == [("# alpha\n", "# alpha!\n")]


async def test_pages_and_filters(store: Store) -> None:
    await crawl(store, START)
    second = await crawl(store, {**START, "": ("start!", "a e"), "e": ("eps", "")})
    whole = await compare(store, second)
    urls: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        part = await compare(store, second, limit=1, cursor=cursor)
        assert (part.counts is None) == bool(cursor)
        urls += [page.url for page in part.pages]
        cursor = part.next_cursor
    assert urls == [page.url for page in whole.pages]
    for change in PageChange:
        some = await compare(store, second, change=change)
        assert some.pages == tuple(page for page in whole.pages if page.change is change)
        assert some.counts == whole.counts
    assert told(await compare(store, second, change=PageChange.REMOVED)) == {
        "b": "removed:not_linked",
        "c": "removed:not_linked",
    }


@pytest.mark.parametrize("failure", [500, 403, 0])
async def test_a_page_that_failed_is_not_removed_nor_is_what_it_led_to(store: Store, failure: int) -> None:
    await crawl(store, START)
    second = await crawl(store, {**START, "": ("start", "a b"), "a": failure})
    expected_reason = "http_error" if failure else "timeout"
    assert told(await compare(store, second)) == {
        "": "same",
        "a": f"unknown:{expected_reason}",
        "b": "same",
        # Nothing above "c" failed; "a" was the way to "d".
        "c": "removed:not_linked",
        "d": "unknown:not_reached",
    }


async def test_what_the_limit_cut_off_is_not_removed(store: Store) -> None:
    await crawl(store, START)
    second = await crawl(store, {**START, "": ("start", "x a b c"), "x": ("x", "")}, limit=4)
    assert told(await compare(store, second)) == {
        "": "same",
        "x": "new",
        "a": "same",
        "b": "same",
        "c": "unknown:limit",
        "d": "unknown:limit",
    }


async def test_a_limit_that_just_suffices_cuts_nothing_off(store: Store) -> None:
    await crawl(store, START)
    second = await crawl(store, {**START, "": ("start", "a b e"), "e": ("eps", "")}, limit=5)
    assert told(await compare(store, second))["c"] == "removed:not_linked"


async def test_what_lies_deeper_than_the_crawl_went_is_not_removed(store: Store) -> None:
    pages: Pages = {**START, "d": ("delta", "e"), "e": ("eps", "")}
    await crawl(store, pages)
    second = await crawl(store, {**pages, "": ("start", "a b")}, depth=1)
    comparison = await compare(store, second)
    assert told(comparison) == {
        "": "same",
        "a": "same",
        "b": "same",
        "c": "removed:not_linked",
        "d": "unknown:depth",
        "e": "unknown:depth",
    }
    assert comparison.counts is not None
    assert (comparison.counts[PageChange.REMOVED], comparison.counts[PageChange.UNKNOWN]) == (1, 2)
    assert set(told(await compare(store, second, change=PageChange.UNKNOWN))) == {"d", "e"}


@pytest.mark.parametrize(
    "asked",
    [
        {"source": "links"},
        {"options": {"excludePatterns": ["**/a"]}},
        {"options": {"includeSubdomains": True}},
    ],
)
async def test_crawls_of_another_source_or_scope_call_nothing_removed_but_what_is_gone(
    store: Store, asked: dict[str, object]
) -> None:
    every: dict[str, object] = {"source": "all", "options": {}}
    await crawl(store, START, every)
    pages: Pages = {**START, "": ("start", "b c"), "c": 410}
    second = await crawl(store, pages, every | asked)
    assert told(await compare(store, second)) == {
        "": "same",
        "b": "same",
        "c": "removed:gone",
        "a": "unknown:scope",
        # On the way there was "a".
        "d": "unknown:scope",
    }
    third = await crawl(store, {**pages, "": ("start", "b")}, every | asked)
    assert told(await compare(store, third)) == {"": "same", "b": "same"}


async def test_a_crawl_that_was_cancelled_calls_nothing_removed(store: Store) -> None:
    await crawl(store, START)
    second = await store.create(SITE)
    await work(store, {**START, "": ("start", "a b")})
    running = await compare(store, second)
    assert told(running) == {"": "same"}
    # Why an attempt at "a" came to nothing is no reason for its end.
    await store.hand_back(await store.lease_one())
    await store.crawls.cancel("local", second)
    assert told(await compare(store, second)) == {
        "": "same",
        "a": "unknown:unfinished",
        "b": "unknown:unfinished",
        "c": "unknown:unfinished",
        "d": "unknown:unfinished",
    }


async def test_a_sitemap_that_fails_removes_nothing(store: Store) -> None:
    async def crawl_sitemap(*, fails: bool) -> str:
        crawl_id = await store.create(SITE, sitemaps=True)
        while True:
            await store.clock.advance(1_000)
            leases = (await store.frontier.lease(Kind.STATIC, 1)).leases
            if not leases:
                return crawl_id
            (lease,) = leases
            if not lease.url.endswith(".txt"):
                await store.finisher.finish([completed(lease)])
            elif fails:
                await store.finisher.finish([Outcome(lease, UrlStatus.ERRORED, ErrorCode.TIMEOUT)])
            else:
                pages = (found(SITE + "a"),)
                await store.finisher.finish([Outcome(lease, UrlStatus.COMPLETED, found=pages)])

    await crawl_sitemap(fails=False)
    second = await crawl_sitemap(fails=True)
    assert told(await compare(store, second))["a"] == "unknown:not_reached"


async def test_not_modified_is_the_same(store: Store) -> None:
    await crawl(store, {"": ("start", "")})
    second = await store.create(SITE)
    lease = await store.lease_one()
    await store.finisher.finish([Outcome(lease, UrlStatus.SKIPPED, "not_modified", http_status=304)])
    assert told(await compare(store, second)) == {"": "same"}


async def test_a_crawl_that_left_pages_out_is_not_the_one_before(store: Store) -> None:
    first = await crawl(store, START)
    since = store.clock() // 1000 - 3_600
    pages: Pages = {**START, "b": 304, "c": 304}
    for _ in range(2):
        some = await crawl(store, pages, {"modifiedSince": since})
        comparison = await compare(store, some)
        assert comparison.against_id == first
        assert told(comparison) == dict.fromkeys(START, "same")
    # The name of the option may be part of a text, or of something else in the request.
    named = {"url": SITE + '"modifiedSince":1', "jsonOptions": {"response_format": {"modifiedSince": 1}}}
    last = await crawl(store, START, named)
    comparison = await compare(store, last)
    assert comparison.against_id == first
    assert told(comparison) == dict.fromkeys(START, "same")
    assert (await compare(store, await crawl(store, START))).against_id == last


async def test_what_was_left_out_for_a_later_time_than_the_crawl_before_is_unknown(store: Store) -> None:
    await crawl(store, {"": ("start", "a"), "a": ("alpha", "")})
    await store.clock.advance(60_000)
    since = store.clock() // 1000
    second = await crawl(store, {"": ("start!", "a"), "a": 304}, {"modifiedSince": since})
    assert told(await compare(store, second)) == {"": "changed", "a": "unknown:not_modified"}


async def test_what_a_page_that_was_left_out_leads_to_is_not_removed(store: Store) -> None:
    await crawl(store, START)
    since = store.clock() // 1000 - 3_600
    second = await crawl(store, {**START, "": ("start", "a b"), "a": 304}, {"modifiedSince": since})
    assert told(await compare(store, second)) == {
        "": "same",
        "a": "same",
        "b": "same",
        "c": "removed:not_linked",
        "d": "unknown:not_reached",
    }


async def test_crawls_that_leave_pages_out_and_have_none_before(store: Store) -> None:
    pages: Pages = {"": ("start", "a b"), "a": 304, "b": ("beta", "")}
    for _ in range(2):
        only = await crawl(store, pages, {"modifiedSince": 1})
        comparison = await compare(store, only)
        assert comparison.against_id is None
        assert told(comparison) == {"": "new", "b": "new"}


async def test_which_crawl_is_the_one_before(store: Store) -> None:
    first = await crawl(store, {"": ("one", "a"), "a": 500})
    await store.clock.advance(1_000)
    cancelled = await store.create(SITE)
    await store.crawls.cancel("local", cancelled)
    admission = Admission(store.database, max_sitemaps=50, max_held_pages=HELD_PAGES)
    secrets = Secrets(store.database, KeyRing([]))
    children = Continuations(store.database, store.crawls, secrets, admission)
    child, _ = await children.retry("local", first, Quotas(), idempotency_key=None)
    while await work(store, {"a": ("alpha", "")}):
        pass
    await store.clock.advance(1_000)
    other_site = await store.create("https://other.test/")
    await work(store, {})
    last = await crawl(store, {"": ("two", "")})
    assert (await compare(store, last)).against_id == first
    assert (await compare(store, first)).against_id is None
    assert (await compare(store, other_site)).against_id is None
    # A child has not looked for the other pages.
    assert told(await compare(store, child)) == {"a": "new", "": "unknown:not_reached"}
    assert (await compare(store, last, against=child)).against_id == child
    for against in (last, "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(InvalidRequest, match="against"):
            await compare(store, last, against=against)
    running = await store.create(SITE)
    with pytest.raises(InvalidRequest, match="against"):
        await compare(store, last, against=running)


async def test_c23_crawls_of_other_accounts_do_not_exist(store: Store) -> None:
    foreign = await store.create(SITE, account="other")
    await store.finisher.finish([completed(await store.lease_one())])
    own = await crawl(store, {"": ("start", "")})
    assert (await compare(store, own)).against_id is None
    with pytest.raises(InvalidRequest, match="there is no such crawl"):
        await compare(store, own, against=foreign)
    with pytest.raises(NotFound):
        await compare(store, foreign)
