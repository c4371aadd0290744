"""`crawl migrate`: the database's schema."""

from __future__ import annotations

import asyncio

import click

from cli.exits import ExitCode
from crawler.settings import Settings
from crawler.store import migrate as migrations
from crawler.store.database import Database


@click.command()
def migrate() -> ExitCode:
    """Bring the database (CRAWL_DATABASE_URL, else SQLite in CRAWL_DATA_DIR) to the newest schema."""
    before = asyncio.run(_migrate(Settings.load().database))
    after = migrations.head()
    click.echo(
        f"The schema is {after} already." if before == after else f"The schema is now {after}.", err=True
    )
    return ExitCode.DONE


async def _migrate(url: str) -> str:
    # Asked first, because a database that is away is told in one sentence here.
    async with Database(url) as database:
        before = await migrations.current(database)
    if before != migrations.head():
        await migrations.upgrade_async(url)
    return before
