"""Accounts and their API tokens.

A token reads `crk_<id>_<secret>`. The secret is random and long, so its plain SHA-256 is kept and nobody can get the
token back from the database. It is shown once, when it is made.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from crawler.store.database import Database, now
from crawler.store.schema import accounts, tokens

#: The account of a service that nobody has divided into accounts.
LOCAL_ACCOUNT = "local"

_TOKEN = re.compile(r"crk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
#: `last_used_at` is only as exact as this: a write per request would cost more than the request.
_USE_GRAIN_MS = 3_600_000


class Scope(StrEnum):
    """What a token may do. Each scope includes those before it."""

    READ = "read"
    WRITE = "write"
    #: Acts for every account, also for ones that do not exist yet.
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Whether a token of this scope may do what `other` allows."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    account_id: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token as its owner may see it. Times are milliseconds since the epoch; the last use is rounded down."""

    id: str
    account_id: str
    label: str
    scope: Scope
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made: the only time that its text exists outside its holder's hands."""

    id: str
    text: str = field(repr=False)


def new_token() -> NewToken:
    """A random token."""
    token_id = secrets.token_hex(6)
    return NewToken(token_id, f"crk_{token_id}_{secrets.token_urlsafe(32)}")


def is_generated_token(text: str) -> bool:
    """Whether this has the form that `new_token` gives."""
    return _TOKEN.fullmatch(text) is not None


class Accounts:
    """Accounts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        self._insert_account = dialect.insert(accounts).on_conflict_do_nothing()

    async def find_caller(self, text: str) -> Caller | None:
        """Whose token this is; None for one that is unknown, expired or revoked, in the same time for all three."""
        digest = _digest(text)
        match = _TOKEN.fullmatch(text)
        statement = select(tokens, now().label("now")).where(tokens.c.id == (match[1] if match else ""))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None or not hmac.compare_digest(digest, row["secret_hash"]) or not _is_valid(row):
            return None
        if (row["last_used_at"] or 0) < row["now"] - _USE_GRAIN_MS:
            await self._touch(row["id"])
        return Caller(row["account_id"], Scope(row["scope"]))

    async def _touch(self, token_id: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(update(tokens).where(tokens.c.id == token_id).values(last_used_at=now()))

    async def create_token(
        self, account_id: str, scope: Scope, *, label: str = "", lifetime: timedelta | None = None
    ) -> NewToken:
        """Make a token, and its account if there is none. `account_id` must satisfy `is_account_id`."""
        token = new_token()
        row = insert(tokens).values(
            id=token.id,
            account_id=account_id,
            label=label,
            scope=scope,
            secret_hash=_digest(token.text),
            created_at=now(),
            expires_at=None if lifetime is None else now() + lifetime // timedelta(milliseconds=1),
        )
        async with self._database.write() as connection:
            await connection.execute(self._insert_account.values(id=account_id, created_at=now()))
            await connection.execute(row)
        return token

    async def list_tokens(self, account_id: str | None = None) -> list[TokenView]:
        """Tokens of one account, or of all, oldest first; revoked and expired ones too."""
        statement = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
        if account_id is not None:
            statement = statement.where(tokens.c.account_id == account_id)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [
            TokenView(
                id=row["id"],
                account_id=row["account_id"],
                label=row["label"],
                scope=Scope(row["scope"]),
                created_at=row["created_at"],
                expires_at=row["expires_at"],
                revoked_at=row["revoked_at"],
                last_used_at=row["last_used_at"],
            )
            for row in rows
        ]

    async def revoke_token(self, token_id: str) -> bool:
        """End a token, at once; False when there is no such token or it has been revoked before."""
        statement = (
            update(tokens)
            .where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))
            .values(revoked_at=now())
            .returning(tokens.c.id)
        )
        async with self._database.write() as connection:
            return (await connection.execute(statement)).first() is not None


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _is_valid(row: RowMapping) -> bool:
    return row["revoked_at"] is None and (row["expires_at"] is None or row["expires_at"] > row["now"])
