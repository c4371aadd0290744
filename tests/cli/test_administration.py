"""`crawl token` and `crawl doctor`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.process import crawl


async def test_a_token_is_made_listed_and_revoked(env: dict[str, str]) -> None:
    made = await crawl("token", "create", "--account", "acme", "--scope", "read", "--label", "ci", env=env)
    assert made.code == 0, made.err
    token_id = made.out.split("_")[1]

    listed = await crawl("token", "list", "--json", env=env)
    view = json.loads(listed.out)
    assert (view["id"], view["account_id"], view["scope"]) == (token_id, "acme", "read")
    assert made.out.strip() not in listed.out

    assert (await crawl("token", "revoke", token_id, env=env)).code == 0
    assert "revoked" in (await crawl("token", "list", env=env)).out
    again = await crawl("token", "revoke", token_id, env=env)
    assert again.code == 1
    assert "no such token" in again.err


async def test_an_account_has_a_plain_name(env: dict[str, str]) -> None:
    assert (await crawl("token", "create", "--account", "a/b", env=env)).code == 2


async def test_doctor_finds_nothing_wrong_with_the_defaults(env: dict[str, str]) -> None:
    ended = await crawl("doctor", "--no-browser", env=env)
    assert ended.code == 0, ended.out
    lines = [line.split() for line in ended.out.splitlines()]
    assert {line[0] for line in lines} == {"ok"}
    assert [line[1] for line in lines] == [
        "Python",
        "settings",
        "data",
        "database",
        "schema",
        "clock",
        "broker",
    ]


async def test_doctor_says_what_is_wrong_and_what_to_do(env: dict[str, str], unused_url: str) -> None:
    env |= {
        "CRAWL_BROKER_URL": unused_url.replace("http", "redis", 1),
        "CRAWL_DATABASE_URL": unused_url.replace("http", "postgresql", 1),
        "CRAWL_CHROMIUM": "/does/not/exist",
    }
    ended = await crawl("doctor", env=env)
    assert ended.code == 1
    problems = {line.split()[1]: line for line in ended.out.splitlines() if line.startswith("problem")}
    assert problems.keys() == {"database", "broker", "browser"}
    assert "CRAWL_DATABASE_URL" in problems["database"]
    assert "CRAWL_BROKER_URL" in problems["broker"]
    assert "CRAWL_CHROMIUM" in problems["browser"]


async def test_doctor_names_a_bad_setting(env: dict[str, str]) -> None:
    ended = await crawl("doctor", env={**env, "CRAWL_PORT": "many"})
    assert ended.code == 1
    assert "CRAWL_PORT" in ended.out


async def test_doctor_sees_a_token_that_others_can_read(env: dict[str, str]) -> None:
    data = Path(env["CRAWL_DATA_DIR"])
    data.mkdir()
    (data / "token").write_text("secret")
    (data / "token").chmod(0o644)
    ended = await crawl("doctor", "--no-browser", env=env)
    assert ended.code == 1
    assert "chmod 600" in ended.out


@pytest.mark.browser
async def test_doctor_starts_the_browser(env: dict[str, str]) -> None:
    ended = await crawl("doctor", env=env)
    assert ended.code == 0, ended.out
    assert "Chromium" in ended.out
    assert ("without its sandbox" in ended.out) == (os.geteuid() == 0)
