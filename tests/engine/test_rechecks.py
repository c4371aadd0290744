"""`recheckWithin`: pages that seldom change are asked about seldom, and never beyond the bound (docs/adr/0019)."""

from __future__ import annotations

from collections.abc import Mapping

from crawler.changes import PageChange
from crawler.model import Record
from crawler.store.database import wall_clock_ms
from tests.engine.conftest import ACCOUNT, Engine, Engines
from tests.engine.validating import Page, ValidatingOrigin, serve_pages

DAY_MS = 86_400_000
BOUND_DAYS = 3


class Days:
    """The database's clock, `day` days after now."""

    day = 0.0

    def __call__(self) -> int:
        return wall_clock_ms() + round(self.day * DAY_MS)


async def crawl(
    engine: Engine, origin: ValidatingOrigin, days: Days, day: float
) -> tuple[str, set[str], Mapping[str, Record]]:
    """Crawl on this day. Returns the crawl's id, the paths that were asked for, and the records by path."""
    days.day = day
    origin.asked.clear()
    fields: dict[str, object] = {"incremental": True, "recheckWithin": BOUND_DAYS * 86_400}
    view, records = await engine.crawl(origin.url(), source="links", **fields)
    by_path = {url.removeprefix(origin.url()[:-1]): record for url, record in records.items()}
    assert len(origin.paths) == len(set(origin.paths))
    return view.id, set(origin.paths), by_path


async def test_each_page_has_its_own_pace_and_none_is_left_alone_beyond_the_bound(engines: Engines) -> None:
    days = Days()
    dated = Page("<p>dated", {"Last-Modified": "Mon, 01 Jan 2024 08:00:00 GMT"})
    private = Page("<p>mine", {"Cache-Control": "private"})
    start = "<a href=/bare>b</a> <a href=/dated>d</a> <a href=/lively>l</a> <a href=/hub>h</a> <a href=/private>p</a>"
    names: dict[str, Page | str] = {
        "index": start,
        "bare": "<p>bare<a href=/below>x</a>",
        "below": "<p>below",
    }
    async with (
        serve_pages(**names, dated=dated, private=private, lively="<p>0", hub="<p>hub") as origin,
        engines(clock_ms=days, full_check_every=100) as engine,
    ):
        never_spared = {"/lively", "/hub", "/private"}
        spared = {"/", "/bare", "/below", "/dated"}
        everything = never_spared | spared
        for day, is_asked in (
            (0.0, True),
            (1.0, True),
            (2.0, True),
            (2.7, False),  # the same for 2 days, so left alone for 1
            (4.0, True),
            (5.5, False),  # the same for 4 days, so left alone for 2
            (6.5, True),
            (9.0, False),  # the same for 6.5 days, and left alone for 3 at the most
            (10.0, True),
            (12.5, False),
            (13.2, True),
        ):
            origin.pages["/lively"] = Page(f"<p>{day} days")
            # Its text stays the same, but it leads to another page.
            origin.pages["/hub"] = Page(f"<p>hub<nav><a href=/none-{day}>x</a></nav>")
            _, asked, records = await crawl(engine, origin, days, day)
            assert asked - {f"/none-{day}"} == (everything if is_asked else never_spared), day
            # Links of a page that is taken over are followed.
            assert records.keys() == everything | {f"/none-{day}"}
            for path in spared:
                record = records[path]
                assert (record.details.get("cacheStatus") == "not_due") == (not is_asked), (day, path)
                if not is_asked:
                    assert record.http_status == 200
                    assert record.html
                    age = record.details["age"]
                    assert isinstance(age, int)
                    assert 0.6 * 86_400 < age < BOUND_DAYS * 86_400
            assert "cacheStatus" not in records["/private"].details
            assert records["/lively"].html == f"<p>{day} days"


async def test_a_change_is_seen_when_its_page_is_due_and_then_asked_about_anew(engines: Engines) -> None:
    days = Days()
    async with serve_pages(index="<p>one") as origin, engines(clock_ms=days) as engine:
        for day in (0.0, 1.0, 2.0):
            await crawl(engine, origin, days, day)
        origin.pages["/"] = Page("<p>two")
        seen = []
        for day in (2.5, 3.5, 3.6, 4.5):
            crawl_id, asked, records = await crawl(engine, origin, days, day)
            comparison = await engine.runtime.runs.compare(ACCOUNT, crawl_id)
            (page,) = comparison.pages
            seen.append((bool(asked), records["/"].html, page.change))
    assert seen == [
        (False, "<p>one", PageChange.SAME),
        (True, "<p>two", PageChange.CHANGED),
        (True, "<p>two", PageChange.SAME),
        (True, "<p>two", PageChange.SAME),
    ]


async def test_every_nth_crawl_fetches_in_full_whether_a_page_is_due_or_not(engines: Engines) -> None:
    days = Days()
    page = Page("<p>one", {"ETag": '"1"'})
    async with serve_pages(index=page) as origin, engines(clock_ms=days, full_check_every=4) as engine:
        seen = []
        for day in (0.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7):
            _, asked, records = await crawl(engine, origin, days, day)
            is_conditional = asked and "If-None-Match" in origin.asked[0][1]
            seen.append("asked" if is_conditional else "fetched" if asked else "taken over")
            assert records["/"].html == "<p>one"
    assert seen == ["fetched", "asked", *["taken over"] * 2, "fetched", *["taken over"] * 3, "fetched"]


async def test_without_the_field_every_page_is_asked(engines: Engines) -> None:
    days = Days()
    async with serve_pages(index="<p>one") as origin, engines(clock_ms=days) as engine:
        for day in (0.0, 1.0, 1.1):
            days.day = day
            origin.asked.clear()
            await engine.crawl(origin.url(), source="links", incremental=True)
            assert origin.paths == ["/"]
        # What was learned meanwhile is of use at once.
        _, asked, _ = await crawl(engine, origin, days, 1.2)
        assert asked == set()


async def test_c23_c24_c25_a_page_that_may_not_be_kept_is_asked_in_every_crawl(engines: Engines) -> None:
    """Rendered: only the browser sends cookies and headers. The first line is what nothing forbids."""
    days = Days()
    cookie: dict[str, object] = {"cookies": [{"name": "who", "value": "alice"}]}
    headers: dict[str, object] = {"setExtraHTTPHeaders": {"Accept-Language": "xx"}}
    async with (
        serve_pages(
            index="<p>COOKIE",
            secret=Page("<p>x", {"Cache-Control": "private, no-store"}),
            greeting=Page("<p>x", {"Set-Cookie": "a=b"}),
        ) as origin,
        engines(clock_ms=days) as engine,
    ):
        cases: tuple[tuple[str, dict[str, object], list[int]], ...] = (
            ("/", {}, [1, 1, 0]),
            ("/", cookie, [1, 1, 1]),
            ("/", headers, [1, 1, 1]),
            ("/secret", {}, [1, 1, 1]),
            ("/greeting", {}, [1, 1, 1]),
        )
        for path, fields, requests in cases:
            seen = []
            for wait in (1.0, 1.0, 0.2):
                days.day += wait
                origin.asked.clear()
                view, _ = await engine.crawl(
                    origin.url(path),
                    render=True,
                    source="links",
                    incremental=True,
                    recheckWithin=86_400,
                    **fields,
                )
                assert (view.browser_seconds > 0) == bool(origin.asked)
                seen.append(len(origin.paths))
            assert seen == requests, (path, fields)
