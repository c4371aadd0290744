"""Upgrades keep what is in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import zstandard
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from crawler.store import migrate
from crawler.store.database import Database, async_url, prepare_sqlite, wall_clock_ms
from crawler.store.records import Records

_PAGES = 3


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
async def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'crawl.db'}"
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"crawl_test_{uuid4().hex}"
    connection = await asyncpg.connect(server)
    await connection.execute(f'CREATE DATABASE "{name}"')
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await connection.close()


def _fill_at_0002(connection: Connection) -> None:
    config = migrate._config()
    config.attributes["connection"] = connection
    command.upgrade(config, "0002")
    connection.execute(text("INSERT INTO accounts VALUES ('local', 1)"))
    connection.execute(
        text(
            "INSERT INTO crawls (id, account_id, status, seed_url, options, kind, url_limit, max_depth,"
            " request_hash, created_at, deadline_at, ended_at, completed) VALUES"
            " ('c', 'local', 'completed', 'https://a.test/', '{}', 'static', 9, 9, '', 1, 2, 2, 3)"
        )
    )
    for number in range(1, _PAGES + 1):
        connection.execute(
            text(
                "INSERT INTO urls (id, crawl_id, seq, role, url, url_key, kind, rank, depth, status, record_bytes)"
                " VALUES (:n, 'c', :seq, 'page', 'https://a.test/', :key, 'static', 1, 0, 'completed', 700)"
            ),
            {"n": number, "seq": number, "key": str(number)},
        )
        html = zstandard.compress(b"one text for all")
        markdown = zstandard.compress(f"text {number}".encode()) if number > 1 else None
        body = text("INSERT INTO bodies VALUES (:n, :html, :markdown)")
        connection.execute(body, {"n": number, "html": html, "markdown": markdown})


async def test_bodies_of_0002_are_readable_at_the_head(empty_url: str) -> None:
    engine = create_async_engine(async_url(empty_url))
    if empty_url.startswith("sqlite"):
        prepare_sqlite(engine, begin="BEGIN IMMEDIATE", clock=wall_clock_ms)
    async with engine.connect() as connection:
        await connection.run_sync(_fill_at_0002)
        await connection.commit()
    await engine.dispose()
    await migrate.upgrade_async(empty_url)
    async with Database(empty_url) as database:
        page = await Records(database, page_bytes=1_000_000).read(
            "local", "c", cursor=0, limit=9, status=None
        )
        assert [record.html for record in page.records] == ["one text for all"] * _PAGES
        assert [record.markdown for record in page.records] == [None, "text 2", "text 3"]
        async with database.read() as connection:
            count = (await connection.execute(text("SELECT count(*) FROM contents"))).scalar_one()
        assert count == _PAGES
