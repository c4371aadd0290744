"""Secrets of running crawls and of schedules, encrypted: cookies, passwords, headers, keys of language models.

AES-256-GCM with the crawl's id as associated data, so that a row is worth nothing under another crawl. The keys are
not in the database. A row goes when its crawl ends; the process itself cannot wipe what it has decrypted.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.errors import ConfigurationError, InvalidRequest, SecretLost
from crawler.settings import Settings
from crawler.store.database import Database
from crawler.store.schema import crawl_secrets, schedules

_KEY_BYTES = 32
_NONCE_BYTES = 12

#: Whose secrets are kept, each in the column `sealed` of its table: crawls that run, and schedules.
_OWNERS = (crawl_secrets.c.crawl_id, schedules.c.id)


class KeyRing:
    """Keys by age, newest first: the first one seals, every one opens. Without keys nothing can be sealed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """The keys of the settings; embedded, else one in the data folder, made on first use.

        Raises ConfigurationError for a key that is not 32 bytes in base64. Processes that share a broker must be
        given the same keys, so they never make their own.
        """
        if settings.secret_keys:
            return cls([_decode(text, "CRAWL_SECRET_KEYS") for text in settings.secret_keys])
        return cls([_generated_key(settings)] if settings.embedded else [])

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def seal(self, crawl_id: str, text: str) -> bytes:
        """Encrypt. Raises InvalidRequest where there are no keys: the request asks for what cannot be kept safe."""
        if not self._keys:
            raise InvalidRequest(
                "This server cannot keep cookies, passwords, headers or model keys: CRAWL_SECRET_KEYS is not set."
            )
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._keys[0]).encrypt(nonce, text.encode(), crawl_id.encode())

    def open(self, crawl_id: str, sealed: bytes) -> str | None:
        """Decrypt; None when no key fits, or the row is not this crawl's."""
        opened = self._open(crawl_id, sealed)
        return None if opened is None else opened[1]

    def age_of(self, crawl_id: str, sealed: bytes) -> int | None:
        """The place in the ring of the key that opens this, 0 the newest; None when no key does."""
        opened = self._open(crawl_id, sealed)
        return None if opened is None else opened[0]

    def reseal(self, crawl_id: str, sealed: bytes) -> bytes | None:
        """The same, sealed by the newest key; None when it is already, or when no key opens it."""
        opened = self._open(crawl_id, sealed)
        return self.seal(crawl_id, opened[1]) if opened is not None and opened[0] > 0 else None

    def _open(self, crawl_id: str, sealed: bytes) -> tuple[int, str] | None:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for place, key in enumerate(self._keys):
            try:
                return place, AESGCM(key).decrypt(nonce, ciphertext, crawl_id.encode()).decode()
            except (InvalidTag, ValueError):
                continue
        return None

    def fingerprint(self, text: str) -> str:
        """64 hexadecimal digits that tell equal texts from others. With a key nobody can try out passwords on it."""
        return hmac.digest(self._keys[0] if self._keys else b"", text.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Seals:
    """How many secrets the newest key has sealed, how many an older one, and how many no key opens."""

    newest: int
    older: int
    lost: int


class Secrets:
    """Sealed secrets of one database."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def put(self, connection: AsyncConnection, crawl_id: str, text: str) -> None:
        """Keep the secret of a crawl that this transaction makes."""
        sealed = self._ring.seal(crawl_id, text)
        await connection.execute(insert(crawl_secrets).values(crawl_id=crawl_id, sealed=sealed))

    async def get(self, crawl_id: str) -> str | None:
        """The secret of a running crawl; None when it has none or has ended. Raises SecretLost when no key fits."""
        async with self._database.read() as connection:
            statement = select(crawl_secrets.c.sealed).where(crawl_secrets.c.crawl_id == crawl_id)
            sealed = (await connection.execute(statement)).scalar()
        if sealed is None:
            return None
        text = self._ring.open(crawl_id, sealed)
        if text is None:
            raise SecretLost
        return text

    def fingerprint(self, text: str) -> str:
        """See `KeyRing.fingerprint`."""
        return self._ring.fingerprint(text)

    async def count_seals(self) -> Seals:
        """By which keys the secrets that are kept were sealed. Raises Unavailable."""
        async with self._database.read() as connection:
            ages = [
                self._ring.age_of(row.owner, row.sealed)
                for statement in self._all_sealed()
                for row in await connection.execute(statement)
            ]
        return Seals(newest=ages.count(0), older=sum(bool(age) for age in ages), lost=ages.count(None))

    async def reseal(self) -> int:
        """Seal what an older key has sealed anew with the newest one, so that the older ones can be taken away.

        Returns how many secrets were. Raises Unavailable.
        """
        done = 0
        async with self._database.write() as connection:
            for statement, owner in zip(self._all_sealed(), _OWNERS, strict=True):
                for row in (await connection.execute(statement.with_for_update())).all():
                    sealed = self._ring.reseal(row.owner, row.sealed)
                    if sealed is not None:
                        own_row = update(owner.table).where(owner == row.owner)
                        await connection.execute(own_row.values(sealed=sealed))
                        done += 1
        return done

    def _all_sealed(self) -> list[Select[Any]]:
        return [
            select(owner.label("owner"), owner.table.c.sealed).where(owner.table.c.sealed.is_not(None))
            for owner in _OWNERS
        ]


async def forget_secret(connection: AsyncConnection, crawl_id: str) -> None:
    """Delete the secret of a crawl that this transaction ends."""
    await connection.execute(delete(crawl_secrets).where(crawl_secrets.c.crawl_id == crawl_id))


def _decode(text: str, source: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        message = (
            f"{source}: a key is {_KEY_BYTES} bytes in base64, as `openssl rand -base64 {_KEY_BYTES}` prints"
        )
        raise ConfigurationError(message)
    return key


def _generated_key(settings: Settings) -> bytes:
    path = settings.data_dir / "secret.key"
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = AESGCM.generate_key(_KEY_BYTES * 8)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _decode(path.read_text().strip(), str(path))
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(key).decode() + "\n")
    return key
