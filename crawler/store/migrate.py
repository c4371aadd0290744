"""Bring a database to the newest schema. Alembic is the only way the schema changes, on SQLite too."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

import migrations
from crawler.store.database import Database, async_url, prepare_sqlite, translated_errors, wall_clock_ms

#: Any constant: two migrators on one Postgres take turns.
_ADVISORY_LOCK = 7_239_114


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The newest schema version that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def current(database: Database) -> str:
    """The schema version of a database, "" when it is empty."""
    async with database.read() as connection:
        return await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_revision() or ""
        )


async def upgrade_async(url: str) -> None:
    """Run the migrations that are missing, all in one transaction. Raises Unavailable when the database is away, or so
    busy that they cannot have their locks."""
    parsed = async_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(parsed)
    if parsed.get_backend_name() == "sqlite":
        # SQLite can do DDL in a transaction, its Python driver only when we begin it.
        prepare_sqlite(engine, begin="BEGIN IMMEDIATE", clock=wall_clock_ms)
    try:
        with translated_errors():
            async with engine.connect() as connection:
                await connection.run_sync(_upgrade)
                await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        # A migration that cannot get its lock soon gives up instead of blocking every claim behind it.
        connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def upgrade(url: str) -> None:
    """`upgrade_async` for callers without an event loop."""
    asyncio.run(upgrade_async(url))
