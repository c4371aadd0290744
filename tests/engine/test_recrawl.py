"""Asking origins what has changed: `incremental` and `modifiedSince` (contract B.8, F61, F63)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.engine.conftest import Engines
from tests.engine.validating import Page, ValidatingOrigin, serve_pages

ETAG = 'W/"a, b\\c"'
#: Not the form that we would write: what an origin gets back must be its own.
LAST_MODIFIED = "Mon, 01-Jan-24 08:00:00 GMT"
SINCE = int(datetime.now(UTC).timestamp()) - 7 * 86_400


def http_date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def asked_for(origin: ValidatingOrigin) -> dict[str, tuple[str | None, str | None]]:
    """The conditions of each request since the last look, by path."""
    asked = {
        path: (headers.get("If-None-Match"), headers.get("If-Modified-Since"))
        for path, headers in origin.asked
    }
    assert len(asked) == len(origin.asked), "a page was asked for twice"
    origin.asked.clear()
    return asked


async def test_pages_that_have_not_changed_come_from_the_crawl_before(engines: Engines) -> None:
    pages = {
        "index": Page("<p>start <a href=/dated>d</a> <a href=/bare>b</a>", {"ETag": ETAG}),
        "dated": Page("<title>Dated</title><p>dated", {"Last-Modified": LAST_MODIFIED}),
        "bare": Page("<p>bare"),
    }
    async with serve_pages(**pages) as origin, engines() as engine:
        _, first = await engine.crawl(origin.url(), incremental=True, formats=["html", "markdown"])
        assert asked_for(origin) == dict.fromkeys(["/", "/dated", "/bare"], (None, None))
        origin.pages["/bare"] = Page("<p>barer")
        for _ in range(2):
            _, again = await engine.crawl(origin.url(), incremental=True, formats=["html", "markdown"])
            assert asked_for(origin) == {
                "/": (ETAG, None),
                "/dated": (None, LAST_MODIFIED),
                "/bare": (None, None),
            }
            assert list(again) == list(first)
            for path in ("/", "/dated"):
                record, before = again[origin.url(path)], first[origin.url(path)]
                assert (record.status, record.http_status) == ("completed", 200)
                assert (record.html, record.markdown) == (before.html, before.markdown)
                assert (record.title, record.last_modified) == (before.title, before.last_modified)
                assert record.details["cacheStatus"] == "revalidated"
            assert "barer" in (again[origin.url("/bare")].html or "")
        # A crawl that is not incremental asks nothing.
        await engine.crawl(origin.url(), maxAge=0, formats=["html", "markdown"])
        assert set(asked_for(origin).values()) == {(None, None)}


async def test_a_page_that_has_changed_is_fetched(engines: Engines) -> None:
    async with serve_pages(index=Page("<p>one", {"ETag": '"1"'})) as origin, engines() as engine:
        await engine.crawl(origin.url(), incremental=True)
        origin.pages["/"] = Page("<p>two", {"ETag": '"2"'})
        _, records = await engine.crawl(origin.url(), incremental=True)
        assert records[origin.url()].html == "<p>two"
        origin.asked.clear()
        await engine.crawl(origin.url(), incremental=True)
        assert asked_for(origin) == {"/": ('"2"', None)}


async def test_an_origin_that_lies_is_caught_and_no_longer_asked(engines: Engines) -> None:
    """Its ETag stays while the text changes, and it says "not modified" to whoever asks."""
    headers = {"ETag": '"same"'}
    async with serve_pages(index=Page("<p>one", headers)) as origin, engines(full_check_every=3) as engine:
        seen = []
        for text in ("one", "two", "two", "two", "three", "three"):
            origin.pages["/"] = Page(f"<p>{text}", headers)
            origin.asked.clear()
            _, records = await engine.crawl(origin.url(), incremental=True)
            seen.append((records[origin.url()].html, asked_for(origin)["/"][0] is not None))
        assert seen == [
            ("<p>one", False),
            ("<p>one", True),  # believed
            ("<p>one", True),  # believed
            ("<p>two", False),  # the third crawl after the first looks for itself
            ("<p>three", False),
            ("<p>three", False),
        ]
        origin.pages["/"] = Page("<p>four", {"ETag": '"other"'})
        await engine.crawl(origin.url(), incremental=True)
        origin.asked.clear()
        await engine.crawl(origin.url(), incremental=True)
        assert asked_for(origin) == {"/": ('"other"', None)}, (
            "it has sent another validator: it may be asked again"
        )


async def test_validators_of_a_page_behind_a_redirect_are_not_believed_of_another(engines: Engines) -> None:
    moved = Page("", {"Location": "/old", "ETag": '"1"'}, status=302)
    pages = {"index": moved, "old": Page("<p>old", {"ETag": '"1"'}), "new": Page("<p>new", {"ETag": '"1"'})}
    async with serve_pages(**pages) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), incremental=True, source="links")
        assert records[origin.url()].html == "<p>old"
        origin.pages["/"] = Page("", {"Location": "/new"}, status=302)
        _, records = await engine.crawl(origin.url(), incremental=True, source="links")
        assert records[origin.url()].html == "<p>new"


async def test_a_rendered_page_that_has_not_changed_needs_no_browser(engines: Engines) -> None:
    page = "<title>x</title><p id=p>?<script>p.textContent = 'written'</script>"
    async with serve_pages(index=Page(page, {"ETag": '"1"'})) as origin, engines() as engine:
        fields: dict[str, object] = {"render": True, "incremental": True, "source": "links"}
        view, first = await engine.crawl(origin.url(), **fields)
        assert view.browser_seconds > 0
        assert "written" in (first[origin.url()].html or "")
        origin.asked.clear()
        view, second = await engine.crawl(origin.url(), **fields)
        assert view.browser_seconds == 0
        assert second[origin.url()].html == first[origin.url()].html
        assert asked_for(origin) == {"/": ('"1"', None)}
        origin.pages["/"] = Page(page.replace("written", "changed"), {"ETag": '"2"'})
        view, third = await engine.crawl(origin.url(), **fields)
        assert view.browser_seconds > 0
        assert "changed" in (third[origin.url()].html or "")
        # What the crawl sends besides its own headers, only the browser sends.
        origin.asked.clear()
        for _ in range(2):
            await engine.crawl(origin.url(), **fields, setExtraHTTPHeaders={"X-Own": "1"})
        assert [headers.get("If-None-Match") for _, headers in origin.asked] == [None, None]
        assert {headers.get("X-Own") for _, headers in origin.asked} == {"1"}


async def test_f63_if_modified_since_is_sent_and_304_is_not_completed(engines: Engines) -> None:
    since = http_date(SINCE)
    same = {"Last-Modified": since}
    pages = {
        "index": Page("<a href=/same>s</a> <a href=/other>o</a> <a href=/silent>s</a>", same),
        "same": Page("<p>same", same),
        "other": Page("<p>other", {"Last-Modified": http_date(SINCE + 1)}),
        "silent": Page("<p>says nothing"),
    }
    async with serve_pages(**pages) as origin, engines() as engine:
        view, records = await engine.crawl(origin.url(), modifiedSince=SINCE)
    found = {url.rpartition("/")[2]: (record.status, record.reason) for url, record in records.items()}
    assert found == {
        "": ("skipped", "not_modified"),
        "same": ("skipped", "not_modified"),
        "other": ("completed", ""),
        "silent": ("completed", ""),
    }
    assert (view.completed, view.skipped) == (2, 2)
    assert records[origin.url()].html is None
    conditions = [(path, headers.get("If-Modified-Since")) for path, headers in origin.asked]
    # The start comes once more, for its links.
    assert conditions[:2] == [("/", since), ("/", None)]
    assert sorted(conditions[2:]) == [("/other", since), ("/same", since), ("/silent", since)]


async def test_f63_a_rendered_page_is_asked_for_before_it_is_rendered(engines: Engines) -> None:
    since = http_date(SINCE)
    pages: dict[str, Page | str] = {
        "index": "<a href=/same>s</a>",
        "same": Page("<p>same", {"Last-Modified": since}),
    }
    async with serve_pages(**pages) as origin, engines() as engine:
        _, records = await engine.crawl(origin.url(), modifiedSince=SINCE, render=True, source="links")
    assert [record.reason for record in records.values()] == ["", "not_modified"]
    assert origin.paths == ["/", "/", "/same"]


async def test_f61_dates_of_sitemaps_are_believed_without_asking(engines: Engines) -> None:
    older, newer = (
        (datetime.fromtimestamp(SINCE, UTC) + timedelta(hours=hours)).isoformat() for hours in (-1, 1)
    )
    entry = "<url><loc>BASE/{}</loc>{}</url>"
    async with serve_pages(index="<a href=/old>o</a> <a href=/new>n</a>", new="n", plain="p") as origin:
        body = "".join(
            entry.format(name, f"<lastmod>{date}</lastmod>" if date else "")
            for name, date in (("old", older), ("new", newer), ("plain", ""))
        )
        origin.pages["/sitemap.xml"] = Page(f"<urlset>{body}</urlset>".replace("BASE", origin.url()[:-1]))
        async with engines() as engine:
            _, records = await engine.crawl(origin.url(), modifiedSince=SINCE)
    reasons = {url.rpartition("/")[2]: record.reason for url, record in records.items()}
    assert reasons == {"": "", "old": "not_modified", "new": "", "plain": ""}
    since = http_date(SINCE)
    assert asked_for(origin) == {"/": (None, since), "/new": (None, None), "/plain": (None, since)}


@pytest.mark.parametrize(
    ("changed", "is_used"), [(SINCE - 60, False), (SINCE + 60, True)], ids=["older", "newer"]
)
async def test_f63_a_copy_must_pass_max_age_and_modified_since(
    engines: Engines, changed: int, is_used: bool
) -> None:
    page = Page("<p>x", {"Last-Modified": http_date(changed)})
    async with serve_pages(index=page) as origin, engines() as engine:
        await engine.crawl(origin.url(), source="links")
        origin.asked.clear()
        await engine.crawl(origin.url(), source="links", modifiedSince=SINCE)
        assert (origin.asked == []) == is_used
