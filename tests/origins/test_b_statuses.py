"""Difficult origins, part B: status codes and cookie walls."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crawler.model import CrawlStatus, UrlStatus
from tests.fetch.origins import page, redirect
from tests.origins.conftest import Found
from tests.origins.site import HTML, Reply, Site, text

pytestmark = pytest.mark.slow


def _walled(path: str) -> Callable[[bytes], bytes]:
    """A page for whoever has consented; all others are sent away to do so."""
    return lambda head: text("<title>in</title>") if b"consent=1" in head else redirect(f"/consent?to={path}")


SITE = Site(
    rows={
        "/b1-404": text("<title>gone</title><p>error text<a href=/from-error>x</a>", status="404 Not Found"),
        "/b1-410": text("<title>gone</title><p>for good", status="410 Gone"),
        "/b1-500": text("<title>oops</title><p>error text", status="500 Oops"),
        "/b1-402": text("<title>pay</title>", status="402 Pay"),
        "/b2-204": page(b"", status="204 No Content"),
        "/b2-205": page(b"", status="205 Reset Content"),
        "/b2-empty": page(b"", HTML),
        "/b3": page(b"", status="304 Not Modified"),
        "/b15": text("<title>who</title>", 'WWW-Authenticate: Basic realm="r"', status="401 Who"),
        "/b16-407": text("<title>proxy</title>", 'Proxy-Authenticate: Basic realm="r"', status="407 Proxy"),
        "/b16-421": text("<title>wrong</title>", status="421 Misdirected"),
        "/b16-425": text("<title>early</title>", status="425 Too Early"),
        "/b16-451": text("<title>law</title>", status="451 Law"),
        "/b16-600": text("<title>odd</title>", status="600 Odd"),
        "/b16-999": text("<title>odder</title>", status="999 Odder"),
        "/b21-one": Reply(_walled("/b21-one")),
        "/b21-two": Reply(_walled("/b21-two")),
        "/b22": text("<title>no bots</title>", status="403 Forbidden"),
    },
    more={
        f"/consent?to={path}": redirect(path, "302 Found", "Set-Cookie: consent=1; Path=/")
        for path in ("/b21-one", "/b21-two")
    },
)


def test_the_crawl_ends_and_counts_every_page(found: Found) -> None:
    assert found.view.status is CrawlStatus.COMPLETED
    assert found.view.total == found.view.finished
    assert found.view.queued == found.view.cancelled == 0


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/b1-404", 404, "gone"),
        ("/b1-410", 410, "gone"),
        ("/b1-500", 500, "oops"),
        ("/b1-402", 402, "pay"),
        ("/b15", 401, "who"),
        ("/b16-421", 421, "wrong"),
        ("/b16-425", 425, "early"),
        ("/b16-451", 451, "law"),
        ("/b16-600", 600, "odd"),
        ("/b16-999", 999, "odder"),
        ("/b22", 403, "no bots"),
    ],
)
def test_origin_b1_b15_b16_b22_d13_error_pages_are_kept(
    found: Found, path: str, status: int, title: str
) -> None:
    record = found[path]
    assert (record.status, record.reason) == (UrlStatus.ERRORED, "http_error")
    assert (record.http_status, record.title) == (status, title)
    assert record.html
    assert "/from-error" not in found.asked


def test_origin_b16_an_origin_that_plays_the_proxy_gets_nothing(found: Found) -> None:
    """A browser takes a 407 for the word of its proxy, which it has not asked for credentials."""
    record = found["/b16-407"]
    assert record.status is UrlStatus.ERRORED
    assert (record.reason, record.http_status) in {("http_error", 407), ("protocol_error", None)}
    assert set(found.world.site.header("Proxy-Authorization")) == {None}


@pytest.mark.parametrize(("path", "status"), [("/b2-204", 204), ("/b2-205", 205), ("/b2-empty", 200)])
def test_origin_b2_empty_pages_are_pages(found: Found, path: str, status: int) -> None:
    assert (found[path].status, found[path].http_status) == (UrlStatus.COMPLETED, status)


def test_origin_b3_not_modified_without_a_question_is_an_error(found: Found) -> None:
    assert (found["/b3"].status, found["/b3"].html) == (UrlStatus.ERRORED, None)


def test_origin_b21_a_cookie_wall_opens_for_every_page(found: Found) -> None:
    """Without the browser each page has its own cookies, and so consents anew; tabs share those of their crawl."""
    for path in ("/b21-one", "/b21-two"):
        assert (found[path].status, found[path].title) == (UrlStatus.COMPLETED, "in")
        assert found[path].final_url == found.world.url(path)
    assert len([path for path in found.asked if path.startswith("/consent")]) <= 2


def test_origin_b22_the_user_agent_is_ours_whatever_they_think_of_it(found: Found) -> None:
    assert set(found.world.site.header("User-Agent")) == {"OpenCrawl/0.1"}
