"""Postgres and Redis for the benchmarks: private servers, a fresh migrated database for each run."""

from __future__ import annotations

import asyncio
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
    """Start both servers. Postgres is set up as in docker-compose.yml, and waits for the disk."""
    with servers.postgres(durable=True) as postgres, servers.redis() as redis:
        asyncio.run(_execute(postgres.url, f"CREATE DATABASE {_TEMPLATE}"))
        asyncio.run(upgrade_async(_named(postgres.url, _TEMPLATE)))
        yield Backend(postgres, redis)


def _named(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
