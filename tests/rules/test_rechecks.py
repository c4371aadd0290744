"""How often a page is asked about that may be taken over: `recheckWithin` (docs/adr/0019)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crawler import recrawl
from crawler.model import Stored

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEW = Stored(
    http_status=200, final_url="https://site.test/", title="", last_modified=None, etag=None, html="x", markdown=None,
    json=None, details={}, content_hash="h", links=(), reuse_key="k", confirmed=0, steady_ms=0, asked_at=0, age_ms=0,
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """One crawl that came to the page."""

    at: int
    asked: bool
    #: Whether the page was another one than at the last question.
    changed: bool
    #: How old the answer was that it could have been taken from.
    age_ms: int


def live(gaps: list[int], changes: set[int], *, within_ms: int) -> list[Look]:
    """Crawl a page after each of these gaps, milliseconds; it changes before the crawls with these numbers."""
    page, now, looks, is_another = NEW, 0, [], False
    for number, gap in enumerate(gaps):
        now += gap
        is_another |= number in changes
        assert page.asked_at is not None
        found = replace(page, age_ms=now - page.asked_at)
        asked = recrawl.is_due(found, within_seconds=within_ms / 1000, lastmod_at=None)
        looks.append(Look(now, asked, is_another, found.age_ms))
        if asked:
            steady_ms = recrawl.steady_ms_after(found, same=not is_another)
            page, is_another = replace(page, steady_ms=steady_ms, asked_at=now), False
    return looks


GAPS = st.lists(st.integers(0, 10 * DAY), min_size=1, max_size=60)
CHANGES = st.sets(st.integers(0, 60), max_size=10)
WITHIN = st.integers(1_000, 30 * DAY)


@given(GAPS, CHANGES, WITHIN)
def test_no_page_is_taken_over_that_was_not_asked_about_within_the_bound(
    gaps: list[int], changes: set[int], within_ms: int
) -> None:
    for look in live(gaps, changes, within_ms=within_ms):
        assert look.asked or look.age_ms < within_ms


@given(GAPS, CHANGES, WITHIN)
def test_a_change_is_missed_for_half_of_the_time_before_it_at_most(
    gaps: list[int], changes: set[int], within_ms: int
) -> None:
    """Counted from the first answer with the old text to the last one: what a crawler can know."""
    first = last = 0
    for look in live(gaps, changes, within_ms=within_ms):
        if not look.asked:
            assert 2 * (look.at - last) < last - first
        elif look.changed:
            first = last = look.at
        else:
            last = look.at


@given(GAPS, CHANGES, WITHIN)
def test_after_a_change_the_next_crawl_asks(gaps: list[int], changes: set[int], within_ms: int) -> None:
    looks = live(gaps, changes, within_ms=within_ms)
    for look, following in pairwise(looks):
        if look.asked and look.changed:
            assert following.asked


@given(st.integers(1, DAY), st.integers(20, 400))
def test_a_page_that_stays_the_same_is_asked_ever_more_seldom(gap: int, crawls: int) -> None:
    looks = live([gap] * crawls, set(), within_ms=crawls * gap + 1_000)
    asked = [look.at for look in looks if look.asked]
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits == sorted(waits)
    # Each wait is half as long as all before together, rounded up to the next crawl.
    assert all(at / 2 <= wait < at / 2 + gap for at, wait in zip(asked, waits, strict=False))
    assert 1.5 ** (len(asked) - 1) <= crawls


@given(st.integers(1, DAY), st.integers(1, 200))
def test_a_page_that_always_changes_is_asked_in_every_crawl(gap: int, crawls: int) -> None:
    assert all(look.asked for look in live([gap] * crawls, set(range(crawls)), within_ms=30 * DAY))


STEADY = replace(NEW, steady_ms=10 * DAY, asked_at=100 * DAY, age_ms=DAY)


@given(st.integers(-100 * DAY, 100 * DAY))
def test_a_sitemap_that_names_a_later_change_is_believed(after_ms: int) -> None:
    """To the day: a date without a time is that of the midnight before the change."""
    lastmod_at = 100 * DAY + after_ms
    assert recrawl.is_due(STEADY, within_seconds=2_592_000, lastmod_at=lastmod_at) == (after_ms > -DAY)


def test_what_has_no_history_or_one_from_the_future_is_asked() -> None:
    assert not recrawl.is_due(STEADY, within_seconds=2_592_000, lastmod_at=None)
    for page in (
        replace(STEADY, steady_ms=None, asked_at=None),
        replace(STEADY, age_ms=-1),
        replace(STEADY, steady_ms=0, age_ms=0),
    ):
        assert recrawl.is_due(page, within_seconds=2_592_000, lastmod_at=None)


@given(st.integers(-DAY, DAY), st.none() | st.integers(0, DAY))
def test_a_history_never_runs_backwards(age_ms: int, steady_ms: int | None) -> None:
    page = replace(STEADY, steady_ms=steady_ms, age_ms=age_ms)
    assert recrawl.steady_ms_after(page, same=True) >= (steady_ms or 0)
    assert recrawl.steady_ms_after(page, same=False) == recrawl.steady_ms_after(None, same=True) == 0
