"""Postgres and Redis for the benchmarks: private servers, a fresh migrated database for each run."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from redis import Redis

from crawler.store.migrate import upgrade_async
from tests import servers

_TEMPLATE = "crawl_template"


@dataclass(frozen=True, slots=True)
class Backend:
    """The running servers."""

    postgres: servers.Server
    redis: servers.Server

    @contextmanager
    def database(self) -> Iterator[str]:
        """An empty, migrated database of Postgres, by its URL; Redis is emptied too."""
        with Redis.from_url(self.redis.url) as client:
            client.flushall()
        name = f"crawl_{uuid.uuid4().hex}"
        asyncio.run(_execute(self.postgres.url, f'CREATE DATABASE "{name}" TEMPLATE {_TEMPLATE}'))
        try:
            yield _named(self.postgres.url, name)
        finally:
            asyncio.run(_execute(self.postgres.url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@contextmanager
def open_backend() -> Iterator[Backend]:
    """Start both servers."""
    with _durable_postgres() as postgres, servers.redis() as redis:
        asyncio.run(_execute(postgres.url, f"CREATE DATABASE {_TEMPLATE}"))
        asyncio.run(upgrade_async(_named(postgres.url, _TEMPLATE)))
        yield Backend(postgres, redis)


@contextmanager
def _durable_postgres() -> Iterator[servers.Server]:
    """A fresh cluster as Postgres sets itself up: unlike the one of the tests it waits for the disk at a commit."""
    with servers.private_folder("postgres") as (folder, user):
        initdb = servers.usable(servers.required("initdb").resolve(), folder, user)
        data, password_file, password = folder / "data", folder / "password", secrets.token_hex(16)
        password_file.write_text(password)
        if user is not None:
            shutil.chown(password_file, user)
        options = {
            "pgdata": str(data),
            "username": "postgres",
            "pwfile": str(password_file),
            "auth": "scram-sha-256",
        }
        options |= {"encoding": "UTF8", "locale": "C"}
        subprocess.run(
            [str(initdb), *(f"--{key}={value}" for key, value in options.items())],
            cwd=folder,
            capture_output=True,
            check=True,
            **servers.as_user(user),
        )
        port = servers.free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": ""}
        ready = [str(initdb.parent / "pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(port)]
        server = servers.Server(
            "Postgres",
            [str(initdb.parent / "postgres"), "-D", str(data), *(f"--{k}={v}" for k, v in settings.items())],
            url=f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres",
            folder=folder,
            user=user,
            stop_signal=signal.SIGINT,
            answers=lambda: subprocess.run(ready, check=False).returncode == 0,
        )
        with servers.running(server):
            yield server


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
