"""Fixtures that every test folder may use: private servers, one migrated database per test, the sample site."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import settings
from redis.asyncio import Redis

from crawler.store.migrate import upgrade, upgrade_async
from tests import servers
from tests.site.server import Site

ROOT = Path(__file__).parent
#: Tests of whole processes and whole crawls, which `make test-fast` leaves out.
SLOW_FOLDERS = {"cli", "distributed", "engine", "faults", "netns", "origins", "render"}
#: Fixtures that start a server of the API for one test.
SLOW_FIXTURES = {"own_server", "each_server"}
#: A test that asks for one of these, however indirectly, is left out of `make test-fast`.
SERVER_FIXTURES = {"postgres_server", "postgres_url", "database_url", "redis_server", "redis_url"}

# How long an example takes is the machine's business: time is measured in `bench/`.
settings.register_profile("crawl")
settings.load_profile("crawl")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server by what it asks for, so that nobody can forget to."""
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if item.path.relative_to(ROOT).parts[0] in SLOW_FOLDERS or SLOW_FIXTURES & asked:
            item.add_marker(pytest.mark.slow)
        if SERVER_FIXTURES & asked:
            item.add_marker(pytest.mark.servers)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what is there for good: modules and thousands of tests, which it would look through
    again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """The sample site on a free port of 127.0.0.1, with an empty log."""
    async with Site() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Server]:
    """The private Postgres, for tests that stop or kill it. They leave it running."""
    if "CRAWL_TEST_DATABASE_URL" in os.environ:
        pytest.skip("CRAWL_TEST_DATABASE_URL names a server that is not ours to stop")
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A database whose user may create databases: `CRAWL_TEST_DATABASE_URL`, else of the private Postgres."""
    given = os.environ.get("CRAWL_TEST_DATABASE_URL")
    if given:
        return given
    server: servers.Server = request.getfixturevalue("postgres_server")
    return server.url


@pytest.fixture(scope="session")
async def template_database(postgres_url: str) -> AsyncIterator[str]:
    """The name of a migrated database that no test uses: copying it is much faster than migrating."""
    name = f"crawl_template_{uuid.uuid4().hex}"
    await _execute(postgres_url, f'CREATE DATABASE "{name}"')
    await upgrade_async(_with_database(postgres_url, name))
    yield name
    await _execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated database of SQLite, to be copied: all migrations take longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "crawl.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
async def database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """An empty, migrated Postgres database of this test alone, `postgresql://…`."""
    name = f"crawl_test_{uuid.uuid4().hex}"
    await _execute(
        postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY FILE_COPY'
    )
    yield _with_database(postgres_url, name)
    await _execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def redis_server() -> Iterator[servers.Server]:
    """The private Redis, for tests that stop or kill it. They leave it running."""
    if "CRAWL_TEST_REDIS_URL" in os.environ:
        pytest.skip("CRAWL_TEST_REDIS_URL names a server that is not ours to stop")
    with servers.redis() as server:
        yield server


@pytest.fixture
async def redis_url(request: pytest.FixtureRequest) -> str:
    """An empty Redis database: `CRAWL_TEST_REDIS_URL`, which is emptied, else of the private Redis."""
    url = os.environ.get("CRAWL_TEST_REDIS_URL")
    if not url:
        server: servers.Server = request.getfixturevalue("redis_server")
        url = server.url
    async with Redis.from_url(url) as client:
        await client.flushdb()
    return url


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
