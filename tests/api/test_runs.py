"""Retry, continue and changes over HTTP: shapes, refusals, and a round through the whole engine."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.server import Server
from tests.api.test_crawl import ROBOTLESS, html, lay_out
from tests.fetch.origins import Origin, page


async def get_changes(server: Server, crawl_id: str, query: str = "") -> dict[str, Any]:
    answer = await server.request("GET", f"/{crawl_id}/changes{query}")
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


async def start(server: Server, path: str, **options: Any) -> str:
    """The id of the child that this POST makes."""
    answer = await server.request("POST", path, **options)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"])


def text(words: str) -> bytes:
    return page(
        f"<title>Tide</title><main><h1>Tide</h1><p>{words}</main>".encode(), "Content-Type: text/html"
    )


async def test_changes_between_two_crawls(each_server: Server, site: Origin) -> None:
    lay_out(
        site, home=html("/a", "/b", "/c"), a=text("High. Served 12:00:01."), b=text("Low"), c=text("Slack")
    )
    crawl = {
        "url": site.url(),
        "limit": 10,
        "formats": ["markdown"],
        "maxAge": 0,
        "markdownOptions": {"frontMatter": False},
    }
    first = (await each_server.crawl(**crawl))["id"]
    alone = await get_changes(each_server, first)
    assert alone["against"] is None
    assert alone["counts"] == {"new": 4, "same": 0, "changed": 0, "removed": 0, "unknown": 0}

    lay_out(
        site, home=html("/a", "/b", "/d"), a=text("High. Served 12:00:09."), b=text("Lower"), d=text("Neap")
    )
    second = (await each_server.crawl(**crawl))["id"]
    changes = await get_changes(each_server, second, "?diff=true")
    assert changes == {
        "id": second,
        "against": first,
        "crawlStatus": "completed",
        "counts": {"new": 1, "same": 2, "changed": 1, "removed": 1, "unknown": 0},
        "pages": [
            {"url": site.url(), "status": "same", "title": "t", "httpStatus": 200},
            {"url": site.url("/a"), "status": "same", "title": "Tide", "httpStatus": 200},
            {
                "url": site.url("/b"),
                "status": "changed",
                "title": "Tide",
                "httpStatus": 200,
                "diff": "@@ -1,3 +1,3 @@\n # Tide\n \n-Low\n+Lower\n",
            },
            {"url": site.url("/d"), "status": "new", "title": "Tide", "httpStatus": 200},
            {"url": site.url("/c"), "status": "removed", "title": "Tide", "reason": "not_linked"},
        ],
    }
    assert (await get_changes(each_server, second, f"?against={first}&diff=true")) == changes
    urls = []
    cursor = "0"
    while cursor:
        part = await get_changes(each_server, second, f"?limit=2&cursor={cursor}")
        urls += [item["url"] for item in part["pages"]]
        cursor = part.get("cursor", "")
    assert urls == [item["url"] for item in changes["pages"]]
    removed = await get_changes(each_server, second, "?status=removed")
    assert [item["url"] for item in removed["pages"]] == [site.url("/c")]


async def test_a_long_diff_is_cut(own_server: Server, site: Origin) -> None:
    crawl = {"url": site.url(), "formats": ["markdown"], "maxAge": 0}
    for word in ("old", "new"):
        lay_out(site, home=text("".join(f"<p>{word} {number}" for number in range(10_000))))
        crawl_id = (await own_server.crawl(**crawl))["id"]
    (item,) = (await get_changes(own_server, crawl_id, "?diff=true"))["pages"]
    assert item["diffCut"] is True
    assert 60_000 < len(item["diff"]) <= own_server.settings.max_diff_chars


async def test_retry_then_continue(each_server: Server, site: Origin) -> None:
    site.routes = {"/": html("/a", "/b", "/c"), "/a": ROBOTLESS, "/b": html("/d"), "/c": html()}
    parent = await each_server.crawl(url=site.url(), limit=3, maxAge=0)
    assert [record["status"] for record in parent["records"]] == ["completed", "errored", "completed"]
    assert "parentId" not in parent

    site.routes |= {"/a": html("/e"), "/d": html(), "/e": html()}
    retried = await each_server.wait(await start(each_server, f"/{parent['id']}/retry"))
    assert retried["parentId"] == parent["id"]
    assert [(record["url"], record["status"]) for record in retried["records"]] == [
        (site.url("/a"), "completed")
    ]
    path = f"/{parent['id']}/continue"
    continued = await each_server.wait(await start(each_server, path, json={"limit": 10}))
    assert continued["parentId"] == parent["id"]
    assert [record["url"] for record in continued["records"]] == [site.url("/c"), site.url("/d")]
    # The parent is read as before, and the list names parents.
    assert await each_server.read(parent["id"]) == parent
    listed = (await each_server.request("GET")).json()["result"]["crawls"]
    assert {crawl["id"]: crawl.get("parentId") for crawl in listed}[continued["id"]] == parent["id"]


async def test_a_repeated_request_with_a_key_starts_one_crawl(server: Server, site: Origin) -> None:
    lay_out(site, home=html("/a"), a=html())
    parent = (await server.crawl(url=site.url(), limit=1))["id"]
    options = {"json": {"limit": 2}, "headers": {"Idempotency-Key": "once"}}
    first = await start(server, f"/{parent}/continue", **options)
    assert await start(server, f"/{parent}/continue", **options) == first
    await server.wait(first)


async def test_what_is_refused(server: Server, site: Origin) -> None:
    lay_out(site, home=html("/a"), a=html())
    done = (await server.crawl(url=site.url(), limit=1))["id"]
    refusals: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", f"/{done}/retry", {}, "nothing to retry"),
        ("POST", f"/{done}/continue", {"json": {"limit": 1}}, "limit must be at least 2"),
        ("POST", f"/{done}/continue", {"json": {"limit": 0}}, "limit"),
        ("POST", f"/{done}/continue", {"json": {"limit": "10"}}, "limit"),
        ("POST", f"/{done}/continue", {"json": {}}, "limit is required"),
        ("POST", f"/{done}/continue", {"json": {"limit": 5, "depth": 2}}, 'Unrecognized key: "depth"'),
        ("POST", f"/{done}/continue", {"json": [5]}, "JSON object"),
        ("POST", f"/{done}/retry", {"headers": {"Idempotency-Key": "a b"}}, "Idempotency-Key"),
        ("GET", f"/{done}/changes?against={done}", {}, "against"),
        ("GET", f"/{done}/changes?against={uuid4()}", {}, "against"),
        ("GET", f"/{done}/changes?against=x", {}, "against"),
        ("GET", f"/{done}/changes?status=gone", {}, "status"),
        ("GET", f"/{done}/changes?limit=0", {}, "limit"),
        ("GET", f"/{done}/changes?cursor=-1", {}, "cursor"),
    ]
    for method, path, options, words in refusals:
        answer = await server.request(method, path, **options)
        assert answer.status_code == 400, (path, answer.text)
        message = answer.json()["errors"][0]["message"]
        assert words in message
        assert not message.startswith(":")
    for method, path in (("POST", "retry"), ("POST", "continue"), ("GET", "changes")):
        for unknown in (str(uuid4()), "x"):
            answer = await server.request(method, f"/{unknown}/{path}", json={"limit": 5})
            assert answer.status_code == 404


@pytest.mark.browser
async def test_a_crawl_that_had_secrets_cannot_go_on(server: Server, site: Origin) -> None:
    lay_out(site, home=html("/a"), a=html())
    answer = await server.post({"url": site.url(), "limit": 1, "cookies": [{"name": "a", "value": "b"}]})
    crawl_id = answer.json()["result"]
    await server.wait(crawl_id)
    for path, options in (("retry", {}), ("continue", {"json": {"limit": 9}})):
        refused = await server.request("POST", f"/{crawl_id}/{path}", **options)
        assert refused.status_code == 400
        assert "forgotten when a crawl ends" in refused.json()["errors"][0]["message"]
