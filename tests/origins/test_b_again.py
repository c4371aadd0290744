"""Difficult origins, part B: crawling again. What is asked of the origin, and what is believed of its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from crawler.store.database import wall_clock_ms
from tests.engine.conftest import ACCOUNT, Engine, Engines
from tests.engine.validating import Page, ValidatingOrigin, serve_pages
from tests.fetch.origins import PUBLIC
from tests.origins.conftest import RENDERED_ONLY, World

pytestmark = pytest.mark.slow

FORMATS = ["html"]
NOW = datetime.now(UTC)
#: The question, and the header that it asks about. The date is not of the form that we would write.
VALIDATORS = {
    "If-None-Match": ("ETag", 'W/"a, b\\c"'),
    "If-Modified-Since": ("Last-Modified", "Mon, 01-Jan-24 08:00:00 GMT"),
}
SINCE = NOW - timedelta(days=7)


@pytest.fixture
async def site() -> AsyncIterator[ValidatingOrigin]:
    """An origin whose pages can be changed between two crawls."""
    async with serve_pages(PUBLIC) as running:
        yield running


async def again(
    engine: Engine, site: ValidatingOrigin, *, render: bool, **fields: object
) -> tuple[str, str | None]:
    """One incremental crawl of the start page: what it is by now, and where that was taken from."""
    site.asked.clear()
    crawl_id = await engine.start(
        site.url(), render=render, incremental=True, source="links", formats=FORMATS, **fields
    )
    await engine.wait(crawl_id)
    (record,) = await engine.records(crawl_id)
    assert record.status == "completed"
    status = record.details.get("cacheStatus")
    return record.html or "", None if status is None else str(status)


def asked_if(site: ValidatingOrigin) -> list[str | None]:
    """The If-None-Match of each request since the last crawl began."""
    return [headers.get("If-None-Match") for _, headers in site.asked]


@pytest.mark.parametrize("condition", VALIDATORS)
async def test_origin_b4_b5_validators_go_back_as_they_came(
    world: World, render: bool, site: ValidatingOrigin, condition: str
) -> None:
    header, value = VALIDATORS[condition]
    site.pages["/"] = Page("<p>same", {header: value})
    first, _ = await again(world.engine, site, render=render)
    html, taken_from = await again(world.engine, site, render=render)
    assert (html, taken_from) == (first, "revalidated")
    assert [headers.get(condition) for _, headers in site.asked] == [value]


async def test_origin_b6_an_origin_that_ignores_validators_is_fetched_and_unchanged(
    world: World, render: bool, site: ValidatingOrigin
) -> None:
    site.pages["/"] = Page("<p>same", {"ETag": '"1"'}, claims={"ETag": '"not to be had"'})
    await again(world.engine, site, render=render)
    html, taken_from = await again(world.engine, site, render=render)
    assert "same" in html
    assert taken_from is None
    assert asked_if(site)[0] == '"1"'
    crawl_id = await world.engine.start(
        site.url(), render=render, incremental=True, source="links", formats=FORMATS
    )
    await world.engine.wait(crawl_id)
    compared = await world.engine.runtime.runs.compare(ACCOUNT, crawl_id)
    assert [page.change for page in compared.pages] == ["same"]


async def test_origin_b7_the_newest_text_wins_whatever_its_etag(
    world: World, render: bool, site: ValidatingOrigin
) -> None:
    """Another ETag with the same bytes is another answer; the same ETag with other bytes is seen without a question."""
    site.pages["/"] = Page("<p>first", {"ETag": '"1"'})
    await again(world.engine, site, render=render)
    site.pages["/"] = Page("<p>first", {"ETag": '"2"'})
    html, taken_from = await again(world.engine, site, render=render)
    assert ("first" in html, taken_from) == (True, None)
    html, taken_from = await again(world.engine, site, render=render)
    assert ("first" in html, taken_from) == (True, "revalidated")
    assert asked_if(site) == ['"2"']
    site.pages["/"] = Page("<p>second", {"ETag": '"2"'})
    _, records = await world.engine.crawl(
        site.url(), render=render, source="links", formats=FORMATS, maxAge=0
    )
    assert "second" in (records[site.url()].html or "")


async def test_origin_b8_what_was_deleted_is_fetched_without_a_question(
    engines: Engines, render: bool, site: ValidatingOrigin
) -> None:
    offset = 0

    def clock() -> int:
        return wall_clock_ms() + offset

    site.pages["/"] = Page("<p>here", {"ETag": '"1"'})
    async with engines(clock_ms=clock, egress_allow_cidrs=(PUBLIC,)) as engine:
        await again(engine, site, render=render)
        assert (await again(engine, site, render=render))[1] == "revalidated"
        offset = 15 * 86_400_000
        html, taken_from = await again(engine, site, render=render)
    assert ("here" in html, taken_from) == (True, None)
    assert asked_if(site) == [None]


async def test_origin_b9_b11_what_an_origin_forbids_to_keep_is_asked_for_again(
    world: World, render: bool, site: ValidatingOrigin
) -> None:
    """`Vary: User-Agent` is no reason: ours is always the same. Another mode is another parameter."""
    site.pages |= {
        "/": Page("<a href=/kept>1</a><a href=/varies>2</a><a href=/never>3</a>"),
        "/kept": Page("<p>kept"),
        "/varies": Page("<p>varies", {"Vary": "User-Agent"}),
        "/never": Page("<p>never", {"Cache-Control": "no-store"}),
    }
    everything = ["/", "/kept", "/never", "/varies"]
    for fields, asked in (
        ({"maxAge": 86_400}, everything),
        ({"maxAge": 86_400}, ["/never"]),
        ({"maxAge": 0}, everything),
        ({"maxAge": 86_400, "formats": ["markdown"]}, everything),
    ):
        site.asked.clear()
        view, _ = await world.engine.crawl(
            site.url(), **{"render": render, "source": "links", "formats": FORMATS, **fields}
        )
        assert view.completed == 4
        assert sorted(site.paths) == asked, fields


@RENDERED_ONLY
async def test_origin_b11_a_page_of_the_other_mode_is_another_page(
    world: World, render: bool, site: ValidatingOrigin
) -> None:
    site.pages["/"] = Page("<title>sent</title><script>document.title = 'run'</script>")
    for mode, title in ((not render, "sent"), (render, "run")):
        _, records = await world.engine.crawl(site.url(), render=mode, source="links", formats=FORMATS)
        assert records[site.url()].title == title
    assert site.paths == ["/", "/"]


async def test_origin_b10_what_has_not_changed_since_is_left_out(
    world: World, render: bool, site: ValidatingOrigin
) -> None:
    """By the sitemap where it has a date, else by the origin; a page that has none at all is taken."""
    before, after = SINCE - timedelta(days=1), SINCE + timedelta(days=1)
    dates = {
        "older": before.isoformat(),
        "newer": after.isoformat(),
        "absent": "",
        "malformed": "last Tuesday",
    }
    entries = "".join(
        f"<url><loc>{site.url(f'/{name}')}</loc>{f'<lastmod>{date}</lastmod>' if date else ''}</url>"
        for name, date in dates.items()
    )
    same = {"Last-Modified": format_datetime(SINCE.replace(microsecond=0), usegmt=True)}
    site.pages |= {
        "/": Page("<a href=/same>s</a>"),
        "/sitemap.xml": Page(f"<urlset>{entries}</urlset>"),
        **{f"/{name}": Page(f"<p>{name}") for name in dates},
        "/same": Page("<p>same", same),
    }
    _, records = await world.engine.crawl(
        site.url(), render=render, modifiedSince=int(SINCE.timestamp()), maxAge=0
    )
    assert {url.rpartition("/")[2]: record.reason for url, record in records.items()} == {
        "": "", "older": "not_modified", "newer": "", "absent": "", "malformed": "", "same": "not_modified",
    }  # fmt: skip
    assert "/older" not in site.paths
