"""The private servers of the tests: they answer, survive what fault tests do to them, and never outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from tests import servers

pytestmark = pytest.mark.servers


async def test_postgres_keeps_its_data_over_a_crash() -> None:
    with servers.postgres() as server:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        first_pid = server.pid

        server.kill()
        connection.terminate()
        assert not psutil.pid_exists(first_pid)
        server.start()

        connection = await asyncpg.connect(server.url)
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()
        server.restart()


async def test_redis_forgets_everything_at_a_restart() -> None:
    with servers.redis() as server:
        async with Redis.from_url(server.url) as client:
            await client.set("doorbell", "1")
        server.restart()
        async with Redis.from_url(server.url) as client:
            assert await client.get("doorbell") is None


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_server_dies_with_a_killed_test_process(kind: str) -> None:
    program = (
        f"from tests import servers\nwith servers.{kind}() as s: print(s.pid, s._folder, flush=True); input()"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdin is not None
    assert owner.stdout is not None
    pid, folder = owner.stdout.readline().decode().split()
    assert psutil.pid_exists(int(pid))

    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()

    wait_until_gone(int(pid), Path(folder))


def test_a_server_that_cannot_start_shows_its_log() -> None:
    with servers.redis() as running, servers.private_folder("redis") as (folder, user):
        port = running.url.rsplit(":", 1)[1].split("/")[0]
        second = servers.Server(
            "Second",
            [str(servers.required("redis-server")), "--port", port, "--bind", "127.0.0.1"],
            url="",
            folder=folder,
            user=user,
            stop_signal=signal.SIGTERM,
            answers=lambda: False,
        )
        with pytest.raises(RuntimeError, match="Address already in use"):
            second.start()


@pytest.mark.skipif(os.getuid() != 0, reason="only root starts servers as somebody else")
def test_an_installation_that_its_user_cannot_reach_is_copied(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    program = tmp_path / "installed/bin/server"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nid -un\n")
    program.chmod(0o755)
    with servers.private_folder("copy") as (folder, user):
        copy = servers.usable(program, folder, user)
        assert copy != program
        said = subprocess.run([copy], stdout=subprocess.PIPE, text=True, check=True, **servers.as_user(user))
        assert said.stdout == f"{user}\n"


async def test_a_database_is_migrated_and_of_one_test_alone(database_url: str, postgres_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM crawls") == 0
        assert await connection.fetchval("SELECT current_database()") not in postgres_url
    finally:
        await connection.close()


async def test_every_test_gets_an_empty_redis(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


def wait_until_gone(pid: int, folder: Path) -> None:
    deadline = time.monotonic() + 30
    while (psutil.pid_exists(pid) or folder.exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid)
    assert not folder.exists()
