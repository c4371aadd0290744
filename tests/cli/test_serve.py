"""`crawl serve`, `worker`, `scheduler`, `migrate`: how they start, refuse and stop."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.cli.origin import Chain
from tests.cli.process import ROOT, crawl, end_of, read_until, running
from tests.servers import free_port


async def test_the_token_is_shown_once_and_kept_private(env: dict[str, str]) -> None:
    async with running("serve", "--port", "0", env=env) as first:
        line = await read_until(first.stderr, "token")
        found = re.search(r"crk_\S+", line)
        assert found is not None
        first.send_signal(signal.SIGINT)
        await end_of(first)

    file = Path(env["CRAWL_DATA_DIR"]) / "token"
    assert file.read_text().strip() == found[0]
    assert file.stat().st_mode & 0o777 == 0o600

    async with running("serve", "--port", "0", env=env) as second:
        await read_until(second.stderr, "Listening")
        second.send_signal(signal.SIGINT)
        assert "crk_" not in (await end_of(second)).err


async def test_it_answers_and_says_where(env: dict[str, str]) -> None:
    async with running("serve", "--port", "0", env=env) as server, aiohttp.ClientSession() as session:
        line = await read_until(server.stderr, "Listening on")
        url = line.split()[2].rstrip(",")
        async with session.get(f"{url}/health") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_lets_the_pages_in_flight_finish(
    env: dict[str, str], chain: Chain, signum: signal.Signals
) -> None:
    chain.hold("/2")
    async with running(
        "serve", "--port", "0", env={**env, "CRAWL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8"}
    ) as server:
        url = (await read_until(server.stderr, "Listening on")).split()[2].rstrip(",")
        client = {**env, "CRAWL_API_URL": url}
        await crawl("submit", chain.url, "--no-render", "--source", "links", env=client)
        await chain.arrival()
        server.send_signal(signum)
        await read_until(server.stderr, "Stopping")
        chain.release()
        ended = await end_of(server)

    assert ended.code == 0, ended.err
    assert chain.requests["/2"] == 1


async def test_a_signal_during_the_start_is_not_lost(env: dict[str, str]) -> None:
    # The folder's lock is taken early in the start, long before the server answers.
    lock = Path(env["CRAWL_DATA_DIR"]) / "crawl.db.lock"
    async with running("serve", "--port", "0", env=env) as server:
        async with asyncio.timeout(60):
            while not lock.exists():
                await asyncio.sleep(0.005)
        server.send_signal(signal.SIGTERM)
        ended = await end_of(server)
    assert ended.code == 0, ended.err


async def test_two_servers_cannot_share_a_data_folder(env: dict[str, str]) -> None:
    async with running("serve", "--port", "0", env=env) as first:
        await read_until(first.stderr, "Listening")

        second = await crawl("serve", "--port", "0", env=env)

    assert second.code == 1
    assert "Another process is using" in second.err
    assert "Traceback" not in second.err


async def test_a_port_in_use_is_said_in_one_sentence(env: dict[str, str], chain: Chain) -> None:
    port = chain.url.rstrip("/").rpartition(":")[2]

    ended = await crawl("serve", "--port", port, env=env)

    assert ended.code == 1
    assert "Address already in use" in ended.err
    assert "Traceback" not in ended.err


async def test_other_machines_need_a_chosen_token(env: dict[str, str]) -> None:
    ended = await crawl("serve", "--host", "0.0.0.0", env=env)
    assert ended.code == 1
    assert "CRAWL_API_TOKEN" in ended.err


@pytest.mark.parametrize("command", [("serve",), ("worker", "--kind", "render")])
async def test_root_needs_a_decision_to_render(env: dict[str, str], command: tuple[str, ...]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root is refused")
    del env["CRAWL_ALLOW_UNSANDBOXED"]
    if command[0] == "worker":
        env |= {
            "CRAWL_BROKER_URL": "redis://127.0.0.1:1/0",
            "CRAWL_DATABASE_URL": "postgresql://127.0.0.1:1/x",
        }
    ended = await crawl(*command, env=env)
    assert ended.code == 1
    assert "CRAWL_ALLOW_UNSANDBOXED=1" in ended.err


@pytest.mark.parametrize("command", [("worker", "--kind", "static"), ("scheduler",)])
async def test_workers_need_a_broker_and_postgres(env: dict[str, str], command: tuple[str, ...]) -> None:
    without = await crawl(*command, env=env)
    assert without.code == 1
    assert without.err.startswith("crawl: CRAWL_BROKER_URL is not set")

    on_sqlite = await crawl(*command, env={**env, "CRAWL_BROKER_URL": "redis://127.0.0.1:1/0"})
    assert on_sqlite.code == 1
    assert "Postgres" in on_sqlite.err


async def test_migrate_says_what_it_did(env: dict[str, str]) -> None:
    first = await crawl("migrate", env=env)
    second = await crawl("migrate", env=env)
    assert (first.code, second.code) == (0, 0)
    assert "is now" in first.err
    assert "already" in second.err


async def test_migrate_without_a_database_is_one_sentence(env: dict[str, str], unused_url: str) -> None:
    database = unused_url.replace("http", "postgresql", 1)
    ended = await crawl("migrate", env={**env, "CRAWL_DATABASE_URL": f"{database}crawl"})
    assert ended.code == 1
    assert ended.err == "crawl: The database cannot be reached.\n"


async def test_a_bad_setting_is_named(env: dict[str, str]) -> None:
    ended = await crawl("migrate", env={**env, "CRAWL_PORT": "many"})
    assert ended.code == 1
    assert ended.err.startswith("crawl: CRAWL_PORT:")


async def test_x33_logs_that_cannot_be_written_stop_nothing(env: dict[str, str], chain: Chain) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    env |= {"CRAWL_API_TOKEN": "token", "CRAWL_API_URL": url, "CRAWL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8"}
    with Path("/dev/full").open("w") as full:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "serve", "--port", url.rpartition(":")[2]),
            cwd=ROOT,
            env={**env, "CRAWL_LOG_LEVEL": "DEBUG"},
            stderr=full,
        )
    try:
        async with asyncio.timeout(60):
            while (await crawl("list", env=env)).code != 0:
                assert server.returncode is None
        ended = await crawl("submit", chain.url, "--no-render", "--source", "links", "--wait", env=env)
        assert ended.code == 0, ended.err
        server.terminate()
        assert await server.wait() == 0
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()
