"""Servers for the tests of the API: one shared by all that leave no trace, one of its own for a test that does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.api.server import Server, serving, settings
from tests.fetch.origins import Origin, origin, page


@pytest.fixture(scope="session")
async def shared_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with serving(settings(tmp_path_factory.mktemp("api"))) as running:
        yield running


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared server, seen from an account that no other test uses."""
    return replace(shared_server, account=f"acc-{uuid4().hex}")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def each_database_url(request: pytest.FixtureRequest) -> str:
    """Nothing for SQLite in the data folder, then a Postgres database."""
    return str(request.getfixturevalue("database_url")) if request.param == "postgres" else ""


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server of the test's own: nothing is known of any host."""
    async with serving(settings(tmp_path)) as running:
        yield running


@pytest.fixture
async def each_server(each_database_url: str, tmp_path: Path) -> AsyncIterator[Server]:
    """A server of the test's own, once on SQLite and once on Postgres."""
    async with serving(settings(tmp_path, database_url=each_database_url)) as running:
        yield running


@pytest.fixture
async def site() -> AsyncIterator[Origin]:
    """An origin that the server may crawl."""
    async with origin() as running:
        yield running


@pytest.fixture(scope="session")
async def endless_seed() -> AsyncIterator[str]:
    """A URL whose crawl goes on until it is cancelled: the page never comes."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async with origin() as running:
        running.routes = {"/robots.txt": page(status="404 Not Found"), "*": never}
        yield running.url()
