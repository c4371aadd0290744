"""Rules of crawling again: what may be kept, what is asked, when an origin is believed (RFC 9110, RFC 9111)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import recrawl
from crawler.model import Response, Stored
from crawler.options import CrawlOptions, parse_options
from crawler.recrawl import LIAR
from crawler.settings import Settings

URL = "https://site.test/"
NOW = datetime(2026, 5, 1, tzinfo=UTC)
SETTINGS = Settings.load()
ANSWER = Response(URL, 200, {}, b"")
STORED = Stored(
    http_status=200, final_url=URL, title="", last_modified=None, etag='"1"', html="x", markdown=None, json=None,
    details={}, content_hash="h", links=(), reuse_key=None, confirmed=0, steady_ms=None,
    asked_at=None, age_ms=0,
)  # fmt: skip


def options(**fields: Any) -> CrawlOptions:
    return parse_options({"url": URL, **fields}, now=NOW)


@pytest.mark.parametrize(
    ("cache_control", "names"),
    [
        ("", set()),
        ("no-store", {"no-store"}),
        ("max-age=0,NO-CACHE , private", {"max-age", "no-cache", "private"}),
        ('private="set-cookie, x", max-age=60', {"private", "max-age"}),
        ('extension="no-store, \\"private"', {"extension"}),
        ('extension="no-store', {"extension"}),
        ("max-age = 5; no-store", {"max-age", "no-store"}),
    ],
)
def test_the_directives_of_cache_control(cache_control: str, names: set[str]) -> None:
    assert recrawl.directives(cache_control) == names


@given(st.text())
def test_any_cache_control_is_read(text: str) -> None:
    assert all(name == name.lower() for name in recrawl.directives(text))


@given(st.lists(st.sampled_from(["public", "max-age=60", 'x="a, b"', "must-revalidate"])), st.integers(0, 4))
def test_c25_no_store_is_found_among_any_others(others: list[str], place: int) -> None:
    fields = [*others[:place], "No-Store", *others[place:]]
    for separator in (",", ", ", " ,\t"):
        answer = replace(ANSWER, headers={"cache-control": separator.join(fields)})
        assert not recrawl.may_keep(options(), answer)
        assert recrawl.may_keep(options(), replace(ANSWER, headers={"cache-control": separator.join(others)}))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 500},
        {"status": 404},
        {"redirects": (URL,)},
        {"headers": {"set-cookie": "a=b"}},
        {"headers": {"vary": " * "}},
        {"headers": {"cache-control": "private"}},
    ],
)
def test_c25_what_an_origin_keeps_for_itself_is_not_kept(changes: dict[str, Any]) -> None:
    assert recrawl.may_keep(options(), ANSWER)
    assert not recrawl.may_keep(options(), replace(ANSWER, **changes))


@pytest.mark.parametrize(
    "fields",
    [
        {"cookies": [{"name": "a", "value": "b"}]},
        {"authenticate": {"username": "a", "password": "b"}},
        {"setExtraHTTPHeaders": {"Accept-Language": "xx"}},
    ],
)
def test_c23_c24_what_came_for_credentials_or_headers_is_not_kept(fields: dict[str, Any]) -> None:
    assert not recrawl.may_keep(options(**fields), ANSWER)


@pytest.mark.parametrize(
    "fields",
    [
        {"formats": ["markdown"]},
        {"render": False},
        {"viewport": {"width": 800, "height": 600}},
        {"setJavaScriptEnabled": False},
        {"setExtraHTTPHeaders": {"Accept-Language": "xx"}},
        {"cookies": [{"name": "a", "value": "b"}]},
        {"waitForTimeout": 5},
        {"rejectResourceTypes": ["image"]},
    ],
)
def test_c24_whatever_shapes_a_record_tells_crawls_apart(fields: dict[str, Any]) -> None:
    assert recrawl.shape("a", options(**fields), SETTINGS) != recrawl.shape("a", options(), SETTINGS)


def test_c23_accounts_and_this_servers_own_shape_tell_crawls_apart() -> None:
    shapes = {
        recrawl.shape("a", options(), SETTINGS),
        recrawl.shape("b", options(), SETTINGS),
        recrawl.shape("a", options(), SETTINGS.model_copy(update={"user_agent": "other/1"})),
        recrawl.shape("a", options(), SETTINGS.model_copy(update={"markdown": "markdownify"})),
    }
    assert len(shapes) == 4


def test_which_pages_a_crawl_has_does_not_shape_them() -> None:
    fields: dict[str, Any] = {
        "limit": 5, "depth": 2, "source": "links", "maxAge": 0, "incremental": True, "contentUse": "reference",
        "recheckWithin": 60,
        "crawlPurposes": ["search"], "modifiedSince": int(NOW.timestamp()) - 5, "options": {"includeSubdomains": True},
    }  # fmt: skip
    elsewhere = parse_options({**fields, "url": "https://other.test/"}, now=NOW)
    assert recrawl.shape("a", elsewhere, SETTINGS) == recrawl.shape("a", options(), SETTINGS)


def test_validators_are_sent_as_they_came() -> None:
    dated = replace(STORED, etag=' W/"x"', last_modified="Monday, 01-Jan-24 08:00:00 GMT")
    assert recrawl.validators(dated) == {
        "if-none-match": ' W/"x"',
        "if-modified-since": "Monday, 01-Jan-24 08:00:00 GMT",
    }
    assert recrawl.validators(replace(STORED, etag=None, last_modified="yesterday")) == {}


@pytest.mark.parametrize("every", [1, 2, 5])
def test_one_of_n_crawls_looks_for_itself(every: int) -> None:
    stored, believed = STORED, []
    for _ in range(3 * every):
        believed.append(recrawl.is_believed(stored, every=every))
        stored = replace(stored, confirmed=stored.confirmed + 1 if believed[-1] else 0)
    assert believed == ([True] * (every - 1) + [False]) * 3


@pytest.mark.parametrize(
    ("confirmed", "etag", "same", "after"),
    [
        (3, '"1"', True, 0),
        (3, '"1"', False, LIAR),
        (3, '"2"', False, 0),
        (LIAR, '"1"', True, LIAR),
        (LIAR, '"1"', False, LIAR),
        (LIAR, '"2"', True, 0),
        (0, None, False, 0),
    ],
)
def test_validators_that_stay_while_the_text_changes_are_lies(
    confirmed: int, etag: str | None, same: bool, after: int
) -> None:
    stored = replace(STORED, confirmed=confirmed)
    assert recrawl.confirmed_after_fetch(stored, etag, None, same=same) == after
    assert recrawl.confirmed_after_fetch(None, etag, None, same=same) == 0


@given(st.integers(0, 4_000_000_000))
def test_dates_survive_the_form_of_http(seconds: int) -> None:
    text = recrawl.http_date(seconds)
    assert not recrawl.is_older(text, seconds)
    assert recrawl.is_older(text, seconds + 1)


@given(st.text() | st.none())
def test_a_date_that_is_none_is_older_than_nothing(text: str | None) -> None:
    assert recrawl.is_older(text, 0) in {True, False}
    assert not recrawl.is_older(text, None)
