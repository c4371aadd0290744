"""The database's clock, for those who want to compare it with their own."""

from __future__ import annotations

from sqlalchemy import select

from crawler.store.database import Database, now


async def read_clock(database: Database) -> int:
    """What time the database has, in milliseconds since the epoch. Raises Unavailable."""
    async with database.read() as connection:
        return int((await connection.execute(select(now()))).scalar_one())
