"""`crawl token` and `crawl doctor`."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from sqlalchemy import insert

from crawler.store.database import Database
from crawler.store.migrate import upgrade_async
from crawler.store.schema import accounts, schedules
from crawler.store.secrets import KeyRing
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRAWL_EGRESS_ALLOWED_PORTS", "5-1"),
        ("CRAWL_EGRESS_HOSTS", "foo"),
        ("CRAWL_EGRESS_UPSTREAM_PROXY", "ftp://proxy"),
        ("CRAWL_AI_PROVIDERS", "{"),
        ("CRAWL_SECRET_KEYS", "zz"),
    ],
)
async def test_doctor_finds_the_settings_that_no_server_starts_with(
    env: dict[str, str], name: str, value: str
) -> None:
    await upgrade_async(f"sqlite:///{env['CRAWL_DATA_DIR']}/crawl.db")
    env = {**env, name: value}
    refused = await crawl("serve", "--port", "0", env=env)
    assert refused.code == 1
    sentence = refused.err.splitlines()[-1].removeprefix("crawl: ")
    assert sentence.startswith(name)

    ended = await crawl("doctor", "--no-browser", env=env)
    assert ended.code == 1
    problems = [line.split(maxsplit=2) for line in ended.out.splitlines() if line.startswith("problem")]
    assert problems == [["problem", "settings", sentence]]


async def test_doctor_names_every_setting_that_is_wrong(env: dict[str, str]) -> None:
    ended = await crawl("doctor", env={**env, "CRAWL_EGRESS_HOSTS": "foo", "CRAWL_SECRET_KEYS": "zz"})
    assert ended.code == 1
    assert [line.split()[2] for line in ended.out.splitlines()[1:]] == [
        "CRAWL_EGRESS_HOSTS:",
        "CRAWL_SECRET_KEYS:",
    ]


async def test_doctor_names_a_key_file_that_holds_no_key(env: dict[str, str]) -> None:
    data = Path(env["CRAWL_DATA_DIR"])
    await upgrade_async(f"sqlite:///{data}/crawl.db")
    (data / "secret.key").write_text("zz")
    ended = await crawl("doctor", "--no-browser", env=env)
    assert ended.code == 1
    (problem,) = (line for line in ended.out.splitlines() if line.startswith("problem"))
    assert problem.split()[1:3] == ["secrets", f"{data}/secret.key:"]


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


async def test_c40_keys_are_changed_and_doctor_says_how_far_that_is(env: dict[str, str]) -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    url = f"sqlite:///{env['CRAWL_DATA_DIR']}/crawl.db"
    await upgrade_async(url)
    async with Database(url) as database, database.write() as connection:
        await connection.execute(insert(accounts).values(id="local", created_at=0))
        row = {"id": "s", "account_id": "local", "rule": "{}", "options": "{}"}
        sealed = KeyRing([base64.b64decode(old)]).seal("s", "password")
        await connection.execute(
            insert(schedules).values(**row, sealed=sealed, anchor_at=0, created_at=0, version=1)
        )

    async def doctor(*keys: str) -> str:
        ended = await crawl("doctor", "--no-browser", env={**env, "CRAWL_SECRET_KEYS": ",".join(keys)})
        (line,) = (line for line in ended.out.splitlines() if line.split()[1] == "secrets")
        return line

    assert "crawl secrets reseal" in await doctor(new, old)
    assert (await doctor(new)).startswith("problem")
    lost = await crawl("secrets", "reseal", env={**env, "CRAWL_SECRET_KEYS": new})
    assert lost.code == 1
    done = await crawl("secrets", "reseal", env={**env, "CRAWL_SECRET_KEYS": f"{new},{old}"})
    assert (done.code, done.err) == (0, "Sealed anew: 1. Sealed by the newest key: 1.\n")
    assert "newest key opens all" in await doctor(new)
