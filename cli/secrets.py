"""`crawl secrets`: the keys that seal cookies, passwords, headers and model keys. Works on the database directly."""

from __future__ import annotations

import asyncio

import click

from cli.exits import ExitCode
from crawler.errors import ConfigurationError
from crawler.settings import Settings
from crawler.store import migrate
from crawler.store.database import Database
from crawler.store.secrets import KeyRing, Seals, Secrets


@click.group()
def secrets() -> None:
    """Look after the keys of secrets (CRAWL_SECRET_KEYS)."""


@secrets.command()
def reseal() -> ExitCode:
    """Seal with the newest key what older keys have sealed, so that they can be taken away."""
    done, seals = asyncio.run(_reseal())
    click.echo(f"Sealed anew: {done}. Sealed by the newest key: {seals.newest}.", err=True)
    if seals.lost:
        click.echo(f"No key of CRAWL_SECRET_KEYS opens {seals.lost}; their crawls will fail.", err=True)
        return ExitCode.FAILED
    return ExitCode.DONE


async def _reseal() -> tuple[int, Seals]:
    settings = Settings.load()
    async with Database(settings.database) as database:
        if await migrate.current(database) != migrate.head():
            raise ConfigurationError(
                "The database has another schema than this version: run `crawl migrate`."
            )
        kept = Secrets(database, KeyRing.load(settings))
        return await kept.reseal(), await kept.count_seals()
