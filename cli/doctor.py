"""`crawl doctor`: is everything there and working? One line for each part, with what to do about it."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from cli.exits import ExitCode
from crawler.ai.providers import Providers
from crawler.errors import ConfigurationError, CrawlError
from crawler.fetch.egress import Egress
from crawler.fetch.proxy import EgressProxy
from crawler.fetch.renderer import Renderer
from crawler.settings import Settings
from crawler.store import migrate
from crawler.store.clock import read_clock
from crawler.store.database import Database
from crawler.store.secrets import KeyRing, Secrets
from workers.doorbell import open_doorbell

#: Leases are counted in seconds by the database's clock, so a few seconds do no harm.
_MAX_CLOCK_DIFFERENCE_SECONDS = 5.0
_WIDTH = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: what is there, or what is wrong and what to do."""

    part: str
    is_ok: bool
    text: str


@click.command()
@click.option("--browser/--no-browser", default=True, help="Start the browser too.  [default: browser]")
def doctor(browser: bool) -> ExitCode:
    """Check that everything needed is there and works."""
    return asyncio.run(_report(check_browser=browser))


async def _report(*, check_browser: bool) -> ExitCode:
    is_ok = True
    async for finding in _examine(check_browser=check_browser):
        is_ok &= finding.is_ok
        mark = click.style("ok     ", fg="green") if finding.is_ok else click.style("problem", fg="red")
        click.echo(f"{mark}  {finding.part:<{_WIDTH}}  {finding.text}")
    return ExitCode.DONE if is_ok else ExitCode.FAILED


async def _examine(*, check_browser: bool) -> AsyncIterator[Finding]:
    yield Finding(
        "Python", sys.version_info >= (3, 11), f"{platform.python_version()}, 3.11 or newer is needed"
    )
    try:
        settings = Settings.load()
    except CrawlError as error:
        yield Finding("settings", is_ok=False, text=error.message)
        return
    if problems := list(_problems_of(settings)):
        for problem in problems:
            yield Finding("settings", is_ok=False, text=problem)
        return
    mode = "everything in one process" if settings.embedded else "workers behind a broker"
    yield Finding("settings", is_ok=True, text=mode)
    yield _check_data_dir(settings.data_dir)
    async for finding in _check_database(settings):
        yield finding
    yield await _check_broker(settings)
    if check_browser:
        yield await _check_browser(settings)


def _problems_of(settings: Settings) -> Iterator[str]:
    """What is found wrong only when a process starts and builds its parts from the settings."""
    for build in (_build_egress, Providers.load, _build_keys):
        try:
            build(settings)
        except ConfigurationError as error:
            yield error.message


def _build_egress(settings: Settings) -> None:
    Egress(settings).close()


def _build_keys(settings: Settings) -> None:
    # Without keys in the settings, a file would be read or made.
    if settings.secret_keys:
        KeyRing.load(settings)


def _check_data_dir(path: Path) -> Finding:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        return Finding(
            "data", is_ok=False, text=f"{path}: {error.strerror}; set CRAWL_DATA_DIR to another folder"
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding(
            "data", is_ok=False, text=f"{path} cannot be written; set CRAWL_DATA_DIR to another folder"
        )
    token = path / "token"
    if token.exists() and token.stat().st_mode & 0o077:
        return Finding("data", is_ok=False, text=f"others can read {token}: chmod 600 {token}")
    return Finding("data", is_ok=True, text=str(path))


async def _check_database(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with Database(settings.database) as database:
            version = await migrate.current(database)
            difference_seconds = abs(await read_clock(database) / 1000 - time.time())
            name = "SQLite" if database.is_sqlite else "Postgres"
            secrets = await _check_secrets(settings, database) if version == migrate.head() else None
    except CrawlError as error:
        text = f"{error.message} Check CRAWL_DATABASE_URL, and that the server runs."
        yield Finding("database", is_ok=False, text=text)
        return
    yield Finding("database", is_ok=True, text=f"{name} answers")
    if version == migrate.head():
        yield Finding("schema", is_ok=True, text=version)
    elif name == "SQLite" and not version:
        yield Finding("schema", is_ok=True, text=f"none yet, {migrate.head()} is made at the first start")
    else:
        text = f"{version or 'none'}, but {migrate.head()} is needed: run `crawl migrate`"
        yield Finding("schema", is_ok=False, text=text)
    if difference_seconds <= _MAX_CLOCK_DIFFERENCE_SECONDS:
        yield Finding("clock", is_ok=True, text="agrees with the database's")
    else:
        text = f"{difference_seconds:.0f} s apart from the database's: keep both in time, for example with chrony"
        yield Finding("clock", is_ok=False, text=text)
    if secrets is not None:
        yield secrets


async def _check_secrets(settings: Settings, database: Database) -> Finding:
    try:
        ring = KeyRing.load(settings)
        if not ring:
            text = "requests with cookies, passwords, headers or model keys are refused: CRAWL_SECRET_KEYS is not set"
            return Finding("secrets", is_ok=True, text=text)
        seals = await Secrets(database, ring).count_seals()
    except CrawlError as error:
        return Finding("secrets", is_ok=False, text=error.message)
    if seals.lost:
        text = f"no key opens {seals.lost} of them: put the key that is missing back into CRAWL_SECRET_KEYS"
        return Finding("secrets", is_ok=False, text=text)
    if seals.older:
        text = f"{seals.older} need an older key: run `crawl secrets reseal` before you take it away"
        return Finding("secrets", is_ok=True, text=text)
    return Finding("secrets", is_ok=True, text="the newest key opens all of them")


async def _check_broker(settings: Settings) -> Finding:
    doorbell = open_doorbell(settings)
    if doorbell is None:
        return Finding("broker", is_ok=True, text="none is configured, and none is needed")
    try:
        state = await doorbell.check()
    finally:
        await doorbell.close()
    if state == "ok":
        return Finding("broker", is_ok=True, text="answers")
    return Finding("broker", is_ok=False, text=f"{state}: check CRAWL_BROKER_URL, and that the server runs")


async def _check_browser(settings: Settings) -> Finding:
    try:
        egress = Egress(settings)
        try:
            async with Renderer(EgressProxy(egress, settings), settings) as renderer:
                return Finding("browser", is_ok=True, text=await renderer.check())
        finally:
            egress.close()
    except CrawlError as error:
        return Finding("browser", is_ok=False, text=error.message)
