"""The API's clients against a real `crawl serve`."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.cli.origin import Chain, serving
from tests.cli.process import crawl, end_of, interrupt, read_until, running

STATIC = ("--no-render", "--source", "links", "--limit", "100")


@asynccontextmanager
async def serving_api(env: dict[str, str]) -> AsyncIterator[dict[str, str]]:
    """A server; gives the environment of its clients."""
    server_env = {**env, "CRAWL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8"}
    async with running("serve", "--port", "0", env=server_env) as server:
        line = await read_until(server.stderr, "Listening on")
        found = re.search(r"http://[\d.:]+", line)
        assert found is not None
        yield {**env, "CRAWL_API_URL": found[0]}
        server.send_signal(signal.SIGTERM)
        assert (await end_of(server)).code == 0


@pytest.fixture
async def client(env: dict[str, str]) -> AsyncIterator[dict[str, str]]:
    """The environment of a client of a running server, whose token it finds in the data folder."""
    async with serving_api(env) as client:
        yield client


async def test_submit_and_wait(client: dict[str, str], chain: Chain, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    ended = await crawl("submit", chain.url, *STATIC, "--wait", "-o", str(folder), "--json", env=client)

    assert ended.code == 0, ended.err
    summary = json.loads(ended.out)
    assert (summary["status"], summary["completed"], summary["url"]) == ("completed", 13, chain.url)
    index = (folder / "index.jsonl").read_text().splitlines()
    assert [json.loads(line)["url"] for line in index] == chain.urls


async def test_a_crawl_from_submit_to_results(client: dict[str, str], chain: Chain, tmp_path: Path) -> None:
    chain.hold("/6")
    submitted = await crawl("submit", chain.url, *STATIC, env=client)
    assert submitted.code == 0, submitted.err
    crawl_id = submitted.out.strip()
    await chain.arrival()

    status = await crawl("status", crawl_id, env=client)
    assert status.out == "running: 6 of 7 pages done, 0 skipped\n"

    early = await crawl("results", crawl_id, env=client)
    assert [json.loads(line)["url"] for line in early.out.splitlines()] == chain.urls[:6]
    assert "Unfinished" in early.err

    chain.release()
    watched = await crawl("watch", crawl_id, "--json", "--quiet", env=client)
    assert watched.code == 0
    assert json.loads(watched.out)["completed"] == 13

    file = tmp_path / "all.jsonl"
    late = await crawl("results", crawl_id, "-o", str(file), env=client)
    assert late.code == 0
    assert [json.loads(line)["url"] for line in file.read_text().splitlines()] == chain.urls

    listed = await crawl("list", env=client)
    assert crawl_id in listed.out
    assert chain.url in listed.out

    again = await crawl("cancel", crawl_id, env=client)
    assert again.code == 1
    assert again.err.startswith("crawl: The crawl job is already in a final status")


async def test_a_cancelled_crawl_is_exit_code_4(client: dict[str, str], chain: Chain) -> None:
    chain.hold("/3")
    async with running("submit", chain.url, *STATIC, "--wait", env=client) as waiting:
        line = await read_until(waiting.stderr, "Crawl ")
        crawl_id = line.split()[1].rstrip(":")
        await chain.arrival()

        cancelled = await crawl("cancel", crawl_id, env=client)

        assert cancelled.code == 0
        assert (await end_of(waiting)).code == 4
    listed = await crawl("list", "--status", "cancelled_by_user", "--json", env=client)
    assert json.loads(listed.out)["id"] == crawl_id


async def test_ctrl_c_ends_the_waiting_and_not_the_crawl(client: dict[str, str], chain: Chain) -> None:
    chain.hold("/3")
    async with running("submit", chain.url, *STATIC, "--wait", env=client) as waiting:
        line = await read_until(waiting.stderr, "Crawl ")
        await chain.arrival()
        interrupt(waiting)
        ended = await end_of(waiting)
    assert ended.code == 130
    assert "Traceback" not in ended.err

    chain.release()
    watched = await crawl("watch", line.split()[1].rstrip(":"), env=client)
    assert watched.code == 0
    assert "13 pages completed" in watched.err


async def test_the_servers_refusals_are_one_sentence(client: dict[str, str]) -> None:
    unknown = await crawl("status", "no-such-id", env=client)
    assert (unknown.code, unknown.err) == (1, "crawl: Crawl job not found\n")

    refused = await crawl("submit", "https://example.com/", "--limit", "0", env=client)
    assert refused.code == 2
    assert refused.err.startswith("crawl: limit should be greater than or equal to 1")

    stranger = await crawl("list", env={**client, "CRAWL_API_TOKEN": "wrong"})
    assert stranger.code == 1
    assert "CRAWL_API_TOKEN" in stranger.err


async def test_without_a_server_the_commands_say_so(env: dict[str, str], unused_url: str) -> None:
    ended = await crawl("list", env={**env, "CRAWL_API_URL": unused_url, "CRAWL_API_TOKEN": "any"})
    assert ended.code == 1
    assert "does not answer; is it running?" in ended.err
    assert "Traceback" not in ended.err


async def test_the_generated_token_goes_to_no_other_machine(env: dict[str, str]) -> None:
    data = Path(env["CRAWL_DATA_DIR"])
    data.mkdir()
    (data / "token").write_text("crk_secret\n")

    ended = await crawl("list", env={**env, "CRAWL_API_URL": "http://crawl.invalid"})

    assert ended.code == 1
    assert "CRAWL_API_TOKEN is not set" in ended.err


@pytest.mark.parametrize("account", ["a/b", "a b", "ä", "a" * 65])
async def test_an_account_that_cannot_be_is_told_by_its_variable(env: dict[str, str], account: str) -> None:
    ended = await crawl("list", env={**env, "CRAWL_ACCOUNT_ID": account, "CRAWL_API_TOKEN": "any"})
    assert ended.code == 1
    assert ended.err.startswith("crawl: CRAWL_ACCOUNT_ID: An account is named by up to 64 letters")


async def test_a_server_that_is_too_busy_is_asked_again(env: dict[str, str]) -> None:
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked < 3:
            return web.json_response(
                {"success": False, "errors": [{"code": 2001, "message": "Rate limit exceeded"}]},
                status=429,
                headers={"Retry-After": "0"},
            )
        return web.json_response({"success": True, "result": {"crawls": []}})

    async with serving(answer) as url:
        ended = await crawl("list", env={**env, "CRAWL_API_URL": url, "CRAWL_API_TOKEN": "any"})

    assert (ended.code, asked) == (0, 3)


async def test_something_else_at_the_url_is_said_to_be_so(env: dict[str, str]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<h1>It works!</h1>", content_type="text/html")

    async with serving(answer) as url:
        ended = await crawl("list", env={**env, "CRAWL_API_URL": url, "CRAWL_API_TOKEN": "any"})

    assert ended.code == 1
    assert "not like the crawl API" in ended.err
