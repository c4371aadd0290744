"""`crawl token`: who may use the API. Works on the database directly, so it needs no token itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click

from cli.exits import ExitCode
from crawler.errors import ConfigurationError, NotFound
from crawler.model import ACCOUNT_ID_RULE, is_account_id
from crawler.settings import Settings
from crawler.store import migrate
from crawler.store.accounts import LOCAL_ACCOUNT, Accounts, NewToken, Scope, TokenView
from crawler.store.database import Database


@click.group()
def token() -> None:
    """Create, list and revoke API tokens."""


@token.command()
@click.option("--account", default=LOCAL_ACCOUNT, show_default=True, help="Made if there is none.")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=Scope.WRITE.value,
    show_default=True,
    help="read: look at crawls; write: also start and end them; admin: for every account.",
)
@click.option("--label", default="", help="A note for yourself.  [default: none]")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is valid.  [default: for ever]")
def create(account: str, scope: str, label: str, days: int | None) -> ExitCode:
    """Make a token and print it. It cannot be shown again."""
    if not is_account_id(account):
        raise click.UsageError(ACCOUNT_ID_RULE)
    lifetime = None if days is None else timedelta(days=days)
    made = asyncio.run(_create(account, Scope(scope), label, lifetime))
    click.echo(made.text)
    return ExitCode.DONE


@token.command("list")
@click.option("--account", help="Only tokens of this account.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each token.")
def list_tokens(account: str | None, as_json: bool) -> ExitCode:
    """List tokens, revoked and expired ones too. Their texts are not known."""
    for view in asyncio.run(_list(account)):
        click.echo(json.dumps(asdict(view)) if as_json else _line(view))
    return ExitCode.DONE


@token.command()
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> ExitCode:
    """End the token with this ID, the part between the underscores, at once."""
    if not asyncio.run(_revoke(token_id)):
        raise NotFound("There is no such token, or it has been revoked before; see `crawl token list`.")
    click.echo("Revoked.", err=True)
    return ExitCode.DONE


@asynccontextmanager
async def _open_accounts() -> AsyncIterator[Accounts]:
    settings = Settings.load()
    async with Database(settings.database) as database:
        if await migrate.current(database) != migrate.head():
            if not settings.embedded:
                raise ConfigurationError(
                    "The database has another schema than this version: run `crawl migrate`."
                )
            await migrate.upgrade_async(settings.database)
        yield Accounts(database)


async def _create(account: str, scope: Scope, label: str, lifetime: timedelta | None) -> NewToken:
    async with _open_accounts() as accounts:
        return await accounts.create_token(account, scope, label=label, lifetime=lifetime)


async def _list(account: str | None) -> list[TokenView]:
    async with _open_accounts() as accounts:
        return await accounts.list_tokens(account)


async def _revoke(token_id: str) -> bool:
    async with _open_accounts() as accounts:
        return await accounts.revoke_token(token_id)


def _line(view: TokenView) -> str:
    if view.revoked_at is not None:
        state = f"revoked {_day(view.revoked_at)}"
    elif view.expires_at is not None:
        state = f"until {_day(view.expires_at)}"
    else:
        state = "for ever"
    used = f"used {_day(view.last_used_at)}" if view.last_used_at is not None else "never used"
    return f"{view.id}  {view.account_id}  {view.scope}  {state}  {used}  {view.label}".rstrip()


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
