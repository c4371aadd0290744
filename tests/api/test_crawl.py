"""Crawls over HTTP, on both databases (contract F 10 to 60, 75, 76; security C26 to C31)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api.server import Server, serving, settings
from tests.api.test_gate import code
from tests.fetch.origins import Origin, origin, page, redirect

ROBOTLESS = page(b"no", status="404 Not Found")


def html(*links: str, title: str = "t", body: str = "") -> bytes:
    """A page with these links."""
    anchors = "".join(f'<a href="{link}">x</a>' for link in links)
    return page(
        f"<!DOCTYPE html><title>{title}</title><body>{body}{anchors}".encode(),
        "Content-Type: text/html; charset=utf-8",
    )


def lay_out(site: Origin, **routes: bytes) -> None:
    """Give the site these pages, `home` is `/`, and neither robots.txt nor a sitemap."""
    site.routes = {f"/{'' if name == 'home' else name}": answer for name, answer in routes.items()}


async def _paged(server: Server, crawl_id: str, query: str) -> list[dict[str, Any]]:
    """All records, page by page."""
    records: list[dict[str, Any]] = []
    cursor = "0"
    while True:
        result = await server.read(crawl_id, f"?{query}&cursor={cursor}")
        records += result["records"]
        if "cursor" not in result:
            return records
        assert result["cursor"].isdigit()
        assert int(result["cursor"]) > int(cursor)
        cursor = result["cursor"]


# --- create -----------------------------------------------------------------------------------------------------


async def test_f10_f12_a_crawl_is_there_as_soon_as_its_id_is(each_server: Server, endless_seed: str) -> None:
    answer = await each_server.post({"url": endless_seed})
    assert answer.status_code == 200
    assert set(answer.json()) >= {"success", "result"}
    assert answer.json()["success"] is True
    result = await each_server.read(answer.json()["result"])
    assert result["status"] == "running"
    assert list(result) == ["id", "status", "browserSecondsUsed", "total", "finished", "skipped", "records"]
    assert (result["browserSecondsUsed"], result["total"], result["finished"], result["skipped"]) == (
        0,
        1,
        0,
        0,
    )
    assert result["records"] == [{"url": endless_seed, "status": "queued"}]


async def test_f11_a_slow_site_does_not_slow_the_answer(server: Server, site: Origin) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    site.routes = {"*": never}
    started = time.monotonic()
    await server.create(url=site.url())
    assert time.monotonic() - started < 2.0
    assert site.paths == ["/robots.txt"]


@pytest.mark.parametrize("ttl", ["86401", "-1", "x", "nan", ""])
async def test_f31_a_cache_ttl_out_of_bounds_is_refused(server: Server, ttl: str) -> None:
    answer = await server.request("POST", f"?cacheTTL={ttl}", json={"url": "http://127.0.0.2:9/"})
    assert (answer.status_code, code(answer)) == (400, 400)
    assert "cacheTTL" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("ttl", ["0", "5", "86400", "0.5"])
async def test_f31_a_cache_ttl_within_its_bounds_passes(server: Server, endless_seed: str, ttl: str) -> None:
    answer = await server.request("POST", f"?cacheTTL={ttl}", json={"url": endless_seed, "render": False})
    assert answer.status_code == 200
    assert (await server.read(answer.json()["result"], f"?cacheTTL={ttl}"))["status"] == "running"


async def test_f22_a_bad_request_names_its_problem(server: Server) -> None:
    answer = await server.post({"url": "http://127.0.0.2/", "crawlUseLevel": "x"})
    assert (answer.status_code, code(answer)) == (400, 400)
    assert answer.json()["errors"][0]["message"] == 'Unrecognized key: "crawlUseLevel"'


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.3/",
            "http://localhost/",
            "http://[::1]/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
        ),
        *("http://0x7f000003/", "http://intranet/", "http://[::ffff:127.0.0.3]/", "http://printer.local/"),
    ],
)
async def test_f76_private_targets_are_refused(server: Server, url: str) -> None:
    answer = await server.post({"url": url, "render": False})
    assert (answer.status_code, code(answer)) == (400, 400)
    assert "url" in answer.json()["errors"][0]["message"]


SIGNAL_CONFLICT = "Crawl disallowed by Content-Signal directive (purpose or use level)"


async def test_f56_f57_content_signals_decide(own_server: Server) -> None:
    for signal, fields, status in (
        ("search=yes, ai-train=no", {}, 400),
        ("search=yes, ai-train=no", {"crawlPurposes": ["search"]}, 200),
        ("use=reference", {}, 400),
        ("use=reference", {"contentUse": "full"}, 400),
        ("use=reference", {"contentUse": "reference"}, 200),
        ("use=immediate", {"contentUse": "reference"}, 400),
        ("use=immediate", {"contentUse": "full"}, 400),
        ("use=full", {}, 200),
    ):
        async with origin() as site:
            robots = f"User-agent: *\nContent-Signal: {signal}\nAllow: /\n".encode()
            site.routes = {"/robots.txt": page(robots, "Content-Type: text/plain"), "/": html()}
            answer = await own_server.post({"url": site.url(), "render": False, "source": "links", **fields})
            assert answer.status_code == status, (signal, fields)
            if status == 400:
                assert answer.json()["errors"] == [{"code": 400, "message": SIGNAL_CONFLICT}]
            else:
                await own_server.wait(answer.json()["result"])


# --- result -----------------------------------------------------------------------------------------------------


async def test_f34_formats_choose_what_a_record_holds(each_server: Server, site: Origin) -> None:
    lay_out(site, home=html(body="<h1>Hello</h1>"))
    for formats, keys in (
        (None, {"html"}),
        (["markdown"], {"markdown"}),
        (["html", "markdown"], {"html", "markdown"}),
        ([], set()),
    ):
        fields = {} if formats is None else {"formats": formats}
        result = await each_server.crawl(url=site.url(), source="links", **fields)
        [record] = result["records"]
        assert record.keys() - {"url", "status", "metadata", "wordCount"} == keys
        assert record["status"] == "completed"


async def test_f35_f36_pages_are_fifty_records_and_visit_each_once(each_server: Server, site: Origin) -> None:
    links = [f"/p{number}" for number in range(59)]
    lay_out(site, home=html(*links), **{link[1:]: html() for link in links})
    crawl_id = (await each_server.crawl(url=site.url(), limit=100, source="links"))["id"]
    first = await each_server.read(crawl_id)
    assert len(first["records"]) == 50
    assert list(first)[-2:] == ["cursor", "records"]
    second = await each_server.read(crawl_id, f"?cursor={first['cursor']}")
    assert len(second["records"]) == 10
    assert "cursor" not in second
    urls = [record["url"] for record in first["records"] + second["records"]]
    # F 47: the start, then links breadth-first in document order.
    assert urls == [site.url()] + [site.url(link) for link in links]
    assert (first["total"], first["finished"], first["status"]) == (60, 60, "completed")
    assert [record["url"] for record in await _paged(each_server, crawl_id, "limit=7")] == urls


async def test_f37_numbers_may_be_written_with_a_fraction_of_zero(server: Server, site: Origin) -> None:
    lay_out(site, home=html("/a", "/b"), a=html(), b=html())
    crawl_id = (await server.crawl(url=site.url(), source="links"))["id"]
    one = await server.read(crawl_id, "?cursor=1.0&limit=1.0")
    assert [record["url"] for record in one["records"]] == [site.url("/a")]
    assert (await server.read(crawl_id, "?cursor=1&limit=1")) == one
    nothing = await server.read(crawl_id, "?limit=0")
    assert nothing["records"] == []
    assert "cursor" not in nothing
    assert nothing["total"] == 3


@pytest.mark.parametrize(
    "query",
    [
        *(
            "cursor=abc",
            "cursor=-1",
            "cursor=1e9",
            "cursor=1.5",
            "cursor=9999999999",
            "cursor=",
            "cursor=%D9%A1",
        ),
        *("limit=-1", "limit=1e9", "limit=1000000000", "limit=x", "limit=true", "limit=1&limit=2"),
        *("cursor=1&cursor=1", "status=bogus", "status=leased", "status=' OR 1=1--", "cacheTTL=86401"),
        "status=queued&status=queued",
    ],
)
async def test_f37_c27_c28_bad_queries_are_refused(server: Server, query: str) -> None:
    answer = await server.request("GET", f"/{uuid4()}?{query}")
    assert (answer.status_code, code(answer)) == (400, 400)


@pytest.mark.parametrize("cursor", ["2147483648", "99999999999", "9" * 5_000, "2147483648.0"])
async def test_a_cursor_past_the_end_of_numbers_is_told_the_greatest(server: Server, cursor: str) -> None:
    answer = await server.request("GET", f"/{uuid4()}?cursor={cursor}")
    message = "cursor should be less than or equal to 2147483647"
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, message)


async def test_a_number_may_begin_with_zeros(server: Server, site: Origin) -> None:
    lay_out(site, home=html())
    result = await server.crawl(url=site.url(), limit=1)
    assert (await server.read(result["id"], "?cursor=0000&limit=00000000000000000000001"))["records"]


@pytest.mark.parametrize(
    "query", ["status=bogus", "limit=0", "limit=1001", "cursor=!", "cursor=abc", "cursor=W10="]
)
async def test_c28_bad_queries_of_the_list_are_refused(server: Server, query: str) -> None:
    answer = await server.request("GET", f"?{query}")
    assert (answer.status_code, code(answer)) == (400, 400)


async def test_c27_a_made_up_cursor_of_the_list_is_harmless(each_server: Server, endless_seed: str) -> None:
    await each_server.create(url=endless_seed)
    places: tuple[object, ...] = (
        [10**30, "x"],
        [-(10**30), "x"],
        [0, "\0"],
        [10**18, "x"],
        ["1", 5],
        [None, None],
        {},
        5,
    )
    for place in places:
        cursor = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
        answer = await each_server.request("GET", f"?cursor={cursor}")
        assert answer.status_code in {200, 400}, place


@pytest.mark.parametrize("cursor", ["2147483647", "1000000"])
async def test_c27_a_cursor_past_the_end_gets_an_empty_page(
    server: Server, endless_seed: str, cursor: str
) -> None:
    result = await server.read(await server.create(url=endless_seed), f"?cursor={cursor}")
    assert result["records"] == []
    assert "cursor" not in result


async def test_c27_a_cursor_of_another_crawl_gets_no_foreign_record(server: Server, site: Origin) -> None:
    lay_out(site, home=html("/a", "/b"), a=html(), b=html())
    first = await server.crawl(url=site.url(), source="links")
    second = await server.crawl(url=site.url("/a"), source="links")
    cursor = (await server.read(first["id"], "?limit=2"))["cursor"]
    assert (await server.read(second["id"], f"?cursor={cursor}"))["records"] == []


@pytest.mark.slow
async def test_f38_f39_a_page_is_cut_by_its_size(tmp_path: Path, site: Origin) -> None:
    big = html(body="x" * 3_000_000)
    lay_out(site, home=html("/a", "/b", "/c", "/d", "/e"), a=big, b=big, c=big, d=big, e=big)
    async with serving(settings(tmp_path)) as server:
        crawl_id = (await server.crawl(url=site.url(), source="links"))["id"]
        answer = await server.request("GET", f"/{crawl_id}?limit=100")
        assert len(answer.content) <= 10_000_000
        assert len(answer.json()["result"]["records"]) == 4
        assert len(await _paged(server, crawl_id, "limit=100")) == 6
    async with serving(settings(tmp_path, page_bytes=1_000_000)) as server:
        records = (await server.read(crawl_id, "?cursor=1"))["records"]
        assert len(records) == 1
        assert len(records[0]["html"]) > 3_000_000


async def test_f40_f41_skipped_links_are_records_and_do_not_count(each_server: Server, site: Origin) -> None:
    lay_out(
        site, home=html("/a", "http://elsewhere.test/x", "mailto:a@b.test", "/b#c", "/b"), a=html(), b=html()
    )
    result = await each_server.crawl(url=site.url(), source="links")
    assert (result["total"], result["finished"], result["skipped"]) == (3, 3, 1)
    skipped = await each_server.read(result["id"], "?status=skipped")
    assert skipped["records"] == [
        {"url": "http://elsewhere.test/x", "status": "skipped", "reason": "external"}
    ]
    assert (skipped["total"], skipped["finished"], skipped["skipped"]) == (3, 3, 1)
    assert [record["url"] for record in result["records"]] == [
        site.url(),
        site.url("/a"),
        "http://elsewhere.test/x",
        site.url("/b"),
    ]
    # A filter may be added to a cursor.
    completed = await each_server.read(result["id"], "?status=completed&cursor=2")
    assert [record["url"] for record in completed["records"]] == [site.url("/b")]


async def test_the_receipt_adds_up_by_reason(each_server: Server, site: Origin) -> None:
    site.routes = {
        "/robots.txt": page(b"User-agent: *\nDisallow: /secret\n", "Content-Type: text/plain"),
        "/": html("/a", "/secret", "http://elsewhere.test/", "http://other.test/", "/gone"),
        "/a": html(),
    }
    result = await each_server.crawl(url=site.url(), source="links")
    receipt = (await each_server.request("GET", f"/{result['id']}/receipt")).json()["result"]
    assert receipt == {
        "discovered": 6,
        "completed": 2,
        "errored": 1,
        "disallowed": 1,
        "skipped": 2,
        "cancelled": 0,
        "queued": 0,
        "reasons": {
            "errored": {"http_error": 1},
            "disallowed": {"robots": 1},
            "skipped": {"external": 2},
        },
    }
    assert "/secret" not in site.paths


async def test_what_waits_or_was_cancelled_has_no_reason(each_server: Server, site: Origin) -> None:
    site.routes = {
        "/robots.txt": ROBOTLESS,
        "/": page(b"later", "Content-Type: text/html", "Retry-After: 600", status="503 Busy"),
    }
    crawl_id = await each_server.create(url=site.url(), source="links")
    # The status is there once the first attempt has come to nothing.
    tried = await each_server.wait(crawl_id, lambda result: "metadata" in result["records"][0])
    assert (await each_server.request("DELETE", f"/{crawl_id}")).status_code == 200
    ended = await each_server.read(crawl_id)
    for result, status in ((tried, "queued"), (ended, "cancelled")):
        (record,) = result["records"]
        assert record["status"] == status
        assert record.keys().isdisjoint({"reason", "message"})
    receipt = (await each_server.request("GET", f"/{crawl_id}/receipt")).json()["result"]
    assert (receipt["cancelled"], receipt["reasons"]) == (1, {})


async def test_f42_limit_1_is_the_start_alone(server: Server, site: Origin) -> None:
    lay_out(site, home=html("/a"), a=html())
    result = await server.crawl(url=site.url(), limit=1)
    assert [record["url"] for record in result["records"]] == [site.url()]
    assert result["total"] == 1


async def test_f43_an_error_page_is_kept(each_server: Server, site: Origin) -> None:
    site.routes = {
        "/": page(b"<title>Lost</title><h1>Nothing</h1>", "Content-Type: text/html", status="404 Not Found")
    }
    result = await each_server.crawl(url=site.url(), source="links", formats=["html", "markdown"])
    [record] = result["records"]
    assert record["status"] == "errored"
    assert record["metadata"] == {"status": 404, "url": site.url(), "title": "Lost"}
    assert "Nothing" in record["html"]
    assert "Nothing" in record["markdown"]
    assert (record["reason"], result["status"]) == ("http_error", "completed")
    assert record["message"]


@pytest.mark.slow
async def test_f44_a_refused_connection_has_no_metadata(server: Server, site: Origin) -> None:
    site.routes = {"/robots.txt": ROBOTLESS, "/": html("/gone"), "*": _hang_up}
    result = await server.crawl(url=site.url(), source="links")
    record = result["records"][1]
    assert (record["status"], record.keys()) == ("errored", {"url", "status", "reason", "message"})


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_f45_a_redirect_is_recorded_where_it_started(server: Server, site: Origin) -> None:
    lay_out(site, a=redirect("/b"), b=html(title="B"))
    result = await server.crawl(url=site.url("/a"), source="links")
    assert result["records"][0]["url"] == site.url("/a")
    assert result["records"][0]["metadata"] == {"status": 200, "url": site.url("/b"), "title": "B"}


async def test_f46_titles_are_decoded_and_never_null(server: Server, site: Origin) -> None:
    untitled = page(b"<p>x", "Content-Type: text/html", "Last-Modified: Sun, 01 Nov 2026 08:00:00 GMT")
    lay_out(site, home=html("/a", title="A &amp; B &#39;C&#39;"), a=untitled)
    result = await server.crawl(url=site.url(), source="links")
    first, second = (record["metadata"] for record in result["records"])
    assert first["title"] == "A & B 'C'"
    assert second.get("title", "") == ""
    assert second["lastModified"] == "Sun, 01 Nov 2026 08:00:00 GMT"


# --- cancel -----------------------------------------------------------------------------------------------------


async def test_f49_f50_a_crawl_is_cancelled_once(each_server: Server, site: Origin) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    site.routes = {"/robots.txt": ROBOTLESS, "/": html("/a", "/b"), "/a": never, "/b": never}
    crawl_id = await each_server.create(url=site.url(), source="links")
    await each_server.wait(crawl_id, lambda result: bool(result["finished"] == 1))
    answers = await asyncio.gather(*(each_server.request("DELETE", f"/{crawl_id}") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    done = next(answer.json()["result"] for answer in answers if answer.status_code == 200)
    assert done["job_id"] == crawl_id
    assert done["message"]
    result = await each_server.read(crawl_id)
    assert result["status"] == "cancelled_by_user"
    assert [record["status"] for record in result["records"]] == ["completed", "cancelled", "cancelled"]
    assert (result["total"], result["finished"]) == (3, 1)
    again = await each_server.request("DELETE", f"/{crawl_id}")
    assert (again.status_code, code(again)) == (400, 400)


async def test_f51_an_unknown_crawl_is_not_found(server: Server) -> None:
    for method in ("GET", "DELETE"):
        answer = await server.request(method, f"/{uuid4()}")
        assert (answer.status_code, code(answer)) == (404, 404)
        assert answer.json()["errors"][0]["message"] == "Crawl job not found"


async def test_f52_delete_takes_a_json_type_without_a_body(server: Server, endless_seed: str) -> None:
    crawl_id = await server.create(url=endless_seed)
    answer = await server.request("DELETE", f"/{crawl_id}", headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


# --- repeats, lists, limits -------------------------------------------------------------------------------------


async def test_c31_an_idempotency_key_makes_one_crawl(each_server: Server, endless_seed: str) -> None:
    body = {"url": endless_seed, "render": False}
    keyed = {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(each_server.post(body, headers=keyed) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["result"] for answer in answers}) == 1
    # The same request, written otherwise.
    same = await each_server.post({"limit": 10.0, **body}, headers=keyed)
    assert same.json()["result"] == answers[0].json()["result"]
    other = await each_server.post({**body, "limit": 3}, headers=keyed)
    assert (other.status_code, code(other)) == (400, 400)
    elsewhere = await replace(each_server, account="other").post(body, headers=keyed)
    assert elsewhere.json()["result"] != answers[0].json()["result"]


async def test_c31_a_retry_of_the_sdk_gets_the_first_crawl(each_server: Server, endless_seed: str) -> None:
    first = await each_server.create(url=endless_seed)
    body = {"url": endless_seed, "render": False}
    retried = await each_server.post(body, headers={"X-Stainless-Retry-Count": "1"})
    assert retried.json()["result"] == first
    plain = await each_server.post(body, headers={"X-Stainless-Retry-Count": "0"})
    assert plain.json()["result"] != first
    different = await each_server.post({**body, "limit": 3}, headers={"X-Stainless-Retry-Count": "1"})
    assert different.json()["result"] != first


@pytest.mark.parametrize("key", ["", "a" * 256, "a b"])
async def test_c31_a_bad_key_is_refused(server: Server, endless_seed: str, key: str) -> None:
    answer = await server.post({"url": endless_seed}, headers={"Idempotency-Key": key})
    assert (answer.status_code, code(answer)) == (400, 400)


async def test_crawls_are_listed_newest_first(each_server: Server, endless_seed: str) -> None:
    ids = [await each_server.create(url=endless_seed, limit=number + 1) for number in range(5)]
    assert (await each_server.request("DELETE", f"/{ids[1]}")).status_code == 200
    everything = (await each_server.request("GET")).json()["result"]
    assert [crawl["id"] for crawl in everything["crawls"]] == ids[::-1]
    assert everything["crawls"][0].keys() >= {"url", "status", "createdAt", "endedAt", "total", "finished"}
    assert "cursor" not in everything
    running = (await each_server.request("GET", "?status=running&limit=3")).json()["result"]
    assert [crawl["id"] for crawl in running["crawls"]] == [ids[4], ids[3], ids[2]]
    rest = (await each_server.request("GET", f"?status=running&cursor={running['cursor']}")).json()["result"]
    assert [crawl["id"] for crawl in rest["crawls"]] == [ids[0]]
    other = await replace(each_server, account="other").request("GET")
    assert other.json()["result"] == {"crawls": []}


async def test_f75_a_burst_beyond_the_limit_gets_429(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, rate_limit_per_second=2)) as server:
        answers = [await server.request("GET") for _ in range(12)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited
    assert answers[0].status_code == 200
    assert code(limited[0]) == 2001
    assert limited[0].json()["errors"][0]["message"] == "Rate limit exceeded"
    assert limited[0].headers["retry-after"] == "1"
