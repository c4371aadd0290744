"""The routes of schedules against a real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api.server import Server
from tests.fetch.origins import Origin, page

SEED = "http://site.invalid/"
CRAWL = {"url": SEED, "render": False}
HOURLY: dict[str, object] = {"cron": "0 * * * *", "crawl": CRAWL}


async def ask(server: Server, method: str, path: str = "", body: object = None) -> httpx.Response:
    """One request to `/schedules` + `path`."""
    options: dict[str, Any] = {} if body is None else {"json": body}
    return await server.request(method, server.base.removesuffix("crawl") + "schedules" + path, **options)


async def result(server: Server, method: str, path: str = "", body: object = None) -> dict[str, Any]:
    answer = await ask(server, method, path, body)
    assert answer.status_code == 200, answer.text
    envelope = answer.json()
    assert (envelope["success"], envelope["errors"], envelope["messages"]) == (True, [], [])
    found: dict[str, Any] = envelope["result"]
    return found


async def refusal(server: Server, method: str, path: str = "", body: object = None) -> tuple[int, str]:
    answer = await ask(server, method, path, body)
    assert answer.json()["success"] is False
    return answer.status_code, answer.json()["errors"][0]["message"]


async def test_a_schedule_from_its_making_to_its_removal(server: Server) -> None:
    made = await result(server, "POST", "", {**HOURLY, "name": "docs", "timezone": "Europe/Berlin"})
    path = f"/{made['id']}"
    assert (made["name"], made["cron"], made["timezone"]) == ("docs", "0 * * * *", "Europe/Berlin")
    assert (made["overlap"], made["catchUp"], made["paused"], made["lastCrawlId"]) == (
        "skip",
        "latest",
        False,
        None,
    )
    assert made["nextDueAt"].endswith(":00:00.000Z")
    assert (made["crawl"]["url"], made["crawl"]["render"]) == (SEED, False)
    assert await result(server, "GET", path) == made

    changed = await result(server, "PATCH", path, {"paused": True, "name": None, "overlap": "queue"})
    assert (changed["paused"], changed["name"], changed["overlap"]) == (True, "", "queue")
    assert (changed["nextDueAt"], changed["cron"]) == (made["nextDueAt"], made["cron"])
    every = await result(server, "PATCH", path, {"cron": None, "timezone": None, "intervalSeconds": 3600})
    assert "cron" not in every
    assert every["intervalSeconds"] == 3600

    (listed,) = (await result(server, "GET"))["schedules"]
    assert (listed["id"], listed["url"], "crawl" in listed) == (made["id"], SEED, False)

    removed = await result(server, "DELETE", path)
    assert removed["id"] == made["id"]
    assert (await refusal(server, "GET", path)) == (404, "Schedule not found")
    assert (await result(server, "GET"))["schedules"] == []


async def test_the_crawls_of_a_schedule_are_incremental_and_may_adapt(server: Server) -> None:
    made = await result(server, "POST", "", {**HOURLY, "crawl": CRAWL | {"recheckWithin": 86_400}})
    assert (made["crawl"]["incremental"], made["crawl"]["recheckWithin"]) == (True, 86_400)


async def test_runs_are_listed_newest_first_and_page_by_page(server: Server, endless_seed: str) -> None:
    made = await result(server, "POST", "", {**HOURLY, "crawl": {"url": endless_seed, "render": False}})
    path = f"/{made['id']}"
    first = await result(server, "POST", f"{path}/run")
    assert (first["status"], first["manual"]) == ("ran", True)
    assert (await server.read(first["crawlId"]))["status"] == "running"
    assert (await result(server, "GET", path))["lastCrawlId"] == first["crawlId"]
    second = await result(server, "POST", f"{path}/run")
    assert second["status"] == "skipped_overlap"
    newest = await result(server, "GET", f"{path}/runs?limit=1")
    assert newest["runs"] == [second]
    rest = await result(server, "GET", f"{path}/runs?limit=1&cursor={newest['cursor']}")
    assert rest == {"runs": [first]}


async def test_the_server_fires_what_is_due(server: Server, site: Origin) -> None:
    site.routes = {"*": page(b"<title>t</title>")}
    start = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    body = {"intervalSeconds": 86_400, "startAt": start, "crawl": {"url": site.url(), "render": False}}
    made = await result(server, "POST", "", body)
    async with asyncio.timeout(60):
        while not (runs := (await result(server, "GET", f"/{made['id']}/runs"))["runs"]):
            await asyncio.sleep(0.1)
    (run,) = runs
    assert (run["status"], run["manual"], run["dueAt"]) == ("ran", False, made["nextDueAt"])
    crawl = await server.wait(run["crawlId"])
    assert (crawl["status"], crawl["finished"]) == ("completed", 1)


async def test_a_site_that_refuses_the_purposes_refuses_the_run(server: Server, site: Origin) -> None:
    site.routes = {
        "/robots.txt": page(b"User-agent: *\nContent-Signal: ai-train=no\n", "Content-Type: text/plain"),
        "*": page(b"<title>t</title>"),
    }
    made = await result(server, "POST", "", {**HOURLY, "crawl": {"url": site.url(), "render": False}})
    async with asyncio.timeout(30):
        # A slow robots.txt lets a run pass: the worker decides later, and the next run knows.
        while True:
            run = await result(server, "POST", f"/{made['id']}/run")
            if run["status"] != "ran":
                break
            await server.wait(run["crawlId"])
    assert run["status"] == "refused"
    assert run["reason"].startswith("Crawl disallowed by Content-Signal directive")


async def test_secrets_are_kept_but_not_shown(server: Server) -> None:
    crawl = {"url": SEED, "authenticate": {"username": "u", "password": "MARKER-1"}}
    made = await result(server, "POST", "", {**HOURLY, "crawl": crawl})
    assert "MARKER-1" not in str(made)
    assert "MARKER-1" not in str(await result(server, "PATCH", f"/{made['id']}", {"paused": True}))


BAD = [
    ({"cron": "61 * * * *"}, "cron: minute is not valid"),
    ({"cron": "* * * *"}, "cron: needs five fields"),
    ({"cron": "* * * * * *"}, "cron: needs five fields"),
    ({"cron": "0 0 31 2 *"}, "cron: day-of-month is not valid"),
    ({"cron": 5}, "cron should be a valid string"),
    ({"timezone": "Atlantis/Capital"}, "timezone should be a name of the IANA time zone database"),
    ({"timezone": "../../etc/passwd"}, "timezone has characters"),
    ({"cron": None}, "cron or intervalSeconds is required"),
    ({"intervalSeconds": 3600}, "cron or intervalSeconds is required, and not both"),
    ({"jitterSeconds": 5}, "jitterSeconds is only for intervalSeconds"),
    ({"cron": None, "intervalSeconds": 59}, "intervalSeconds should be at least 60"),
    ({"cron": None, "intervalSeconds": 60.5}, "intervalSeconds should be a valid integer"),
    ({"cron": None, "intervalSeconds": 100, "jitterSeconds": 51}, "jitterSeconds should be at most half"),
    ({"cron": None, "intervalSeconds": 100, "timezone": "UTC"}, "timezone is only for cron"),
    ({"startAt": "2099-01-02T00:00:00Z", "endAt": "2099-01-01T00:00:00Z"}, "endAt should be later than startAt"),
    ({"endAt": "2020-01-01T00:00:00Z"}, "endAt should lie in the future"),
    ({"endAt": "2099-01-01"}, "endAt should be a valid datetime"),
    ({"endAt": "2099-01-01T00:00:00"}, "endAt should have timezone info"),
    ({"endAt": "9999-01-01T00:00:00Z"}, "endAt: lies beyond"),
    ({"cron": "0 0 29 2 *", "startAt": "2097-01-01T00:00:00Z", "endAt": "2098-01-01T00:00:00Z"}, "cron is never due"),
    ({"overlap": "wait"}, "overlap should be 'skip', 'queue' or 'cancel_previous'"),
    ({"catchUp": "some"}, "catchUp should be 'skip', 'latest' or 'all'"),
    ({"paused": "yes"}, "paused should be a valid boolean"),
    ({"name": "n" * 201}, "name should have at most 200 characters"),
    ({"name": "two\nlines"}, "name contains control or direction characters; remove them."),
    ({"name": "\x1b[31mred"}, "name contains control"),
    ({"name": "\x9b31mred"}, "name contains control"),
    ({"name": "\u202etxt.exe"}, "name contains control"),
    ({"crontab": "x"}, 'Unrecognized key: "crontab"'),
    ({"crawl": "http://site.invalid/"}, "crawl should be an object"),
    ({"crawl": CRAWL | {"recheckWithin": 0}}, "crawl: recheckWithin should be greater than or equal to 1"),
    ({"crawl": CRAWL | {"recheckWithin": 60, "incremental": False}}, "crawl: recheckWithin is only for incremental"),
    ({"crawl": CRAWL | {"incremental": False}}, "crawl: incremental must be true or left out"),
    ({"crawl": {"url": SEED, "limit": 0}}, "crawl: limit should be greater than or equal to 1"),
    ({"crawl": {"url": "http://10.0.0.1/"}}, "crawl: url: this address may not be crawled"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message"), BAD, ids=[text.split(" should")[0][:40] for _, text in BAD])
async def test_what_is_wrong_is_named(server: Server, fields: dict[str, object], message: str) -> None:
    status, text = await refusal(server, "POST", "", HOURLY | fields)
    assert (status, text[: len(message)]) == (400, message)


async def test_a_change_is_checked_like_a_new_schedule(server: Server) -> None:
    made = await result(server, "POST", "", HOURLY)
    path = f"/{made['id']}"
    assert (await refusal(server, "PATCH", path, {"intervalSeconds": 60}))[0] == 400
    assert (await refusal(server, "PATCH", path, {"cron": "x"}))[0] == 400
    assert (await refusal(server, "PATCH", path, {"name": "\x07"}))[0] == 400
    assert (await refusal(server, "PATCH", path, []))[0] == 400
    assert (await refusal(server, "PATCH", path, {"crawl": CRAWL | {"incremental": False}}))[0] == 400
    assert await result(server, "GET", path) == made


async def test_a_body_without_a_crawl_is_refused(server: Server) -> None:
    assert await refusal(server, "POST", "", {"cron": "0 * * * *"}) == (
        400,
        "crawl is required: the body of a POST to /crawl.",
    )


async def test_schedules_of_other_accounts_do_not_exist(server: Server) -> None:
    made = await result(server, "POST", "", HOURLY)
    stranger = Server(server.port, server.settings, server.http, account="another")
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/runs"), ("POST", "/run")):
        body = {"paused": True} if method == "PATCH" else None
        answer = await refusal(stranger, method, f"/{made['id']}{path}", body)
        assert answer == (404, "Schedule not found")
    assert (await refusal(server, "GET", "/no-such-id")) == (404, "Schedule not found")
    assert (await result(server, "GET", f"/{made['id']}")) == made
