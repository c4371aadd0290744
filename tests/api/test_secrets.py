"""Secrets of requests: split off, sealed, bound to their crawl, gone when it ends (security C37 to C40)."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from crawler.errors import ConfigurationError, InvalidRequest, SecretLost
from crawler.options import CrawlOptions, join_secrets, split_secrets
from crawler.store.database import Database
from crawler.store.migrate import upgrade_async
from crawler.store.schema import accounts, crawl_secrets, crawls
from crawler.store.secrets import KeyRing, Seals, Secrets, forget_secret
from tests.api.server import settings
from tests.api.test_options import EVERYTHING, parse

MARKER = "MARKER-5f3a"
SECRET_FIELDS = {
    "cookies": [{"name": "sid", "value": MARKER}],
    "authenticate": {"username": "u", "password": MARKER},
    "setExtraHTTPHeaders": {"X-Api-Key": MARKER},
    "jsonOptions": {
        "prompt": "x",
        "custom_ai": [{"model": "a/b", "authorization": f"Bearer {MARKER}"}, {"model": "workers-ai/c"}],
    },
}
NEW, OLD = os.urandom(32), os.urandom(32)


@pytest.mark.parametrize(
    "names", [[name] for name in SECRET_FIELDS] + [list(SECRET_FIELDS), sorted(SECRET_FIELDS)[:2]]
)
def test_c37_the_stored_request_has_no_secret(names: list[str]) -> None:
    options = parse(**{name: SECRET_FIELDS[name] for name in names})
    public, secret = split_secrets(options)
    assert MARKER not in public.to_json()
    assert secret is not None
    assert MARKER in secret
    assert join_secrets(CrawlOptions.from_json(public.to_json()), secret) == options


def test_c37_a_request_with_everything_comes_together_again() -> None:
    options = parse(**EVERYTHING)
    public, secret = split_secrets(options)
    assert secret is not None
    assert public != options
    assert join_secrets(public, secret) == options


@pytest.mark.parametrize("fields", [{}, {"render": False}, {"cookies": []}, {"jsonOptions": {"prompt": "x"}}])
def test_a_request_without_secrets_stays_as_it_is(fields: dict[str, object]) -> None:
    options = parse(**fields)
    assert split_secrets(options) == (options, None)


def test_c37_a_printed_request_shows_no_secret() -> None:
    assert MARKER not in repr(parse(**SECRET_FIELDS))


@given(st.text(), st.text(max_size=36))
def test_c38_only_the_same_crawl_and_key_open_a_seal(text: str, crawl_id: str) -> None:
    ring = KeyRing([NEW])
    sealed = ring.seal(crawl_id, text)
    assert ring.open(crawl_id, sealed) == text
    assert ring.seal(crawl_id, text) != sealed
    assert ring.open(crawl_id + "x", sealed) is None
    assert KeyRing([OLD]).open(crawl_id, sealed) is None
    assert KeyRing([]).open(crawl_id, sealed) is None
    for position in (0, 12, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[position] ^= 1
        assert ring.open(crawl_id, bytes(changed)) is None
    assert ring.open(crawl_id, sealed[:5]) is None


def test_c40_an_old_key_opens_and_the_new_one_seals() -> None:
    sealed = KeyRing([OLD]).seal("c", MARKER)
    both = KeyRing([NEW, OLD])
    assert both.open("c", sealed) == MARKER
    assert KeyRing([NEW]).open("c", both.seal("c", MARKER)) == MARKER


def test_a_fingerprint_tells_texts_apart_and_needs_the_key() -> None:
    ring = KeyRing([NEW])
    assert ring.fingerprint("a") == ring.fingerprint("a") != ring.fingerprint("b")
    assert ring.fingerprint("a") != KeyRing([OLD]).fingerprint("a")
    assert len(ring.fingerprint("a")) == 64


def test_the_embedded_server_makes_its_own_key_once(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "data")
    sealed = KeyRing.load(chosen).seal("c", MARKER)
    assert KeyRing.load(chosen).open("c", sealed) == MARKER
    assert stat.S_IMODE((tmp_path / "data" / "secret.key").stat().st_mode) == 0o600


def test_configured_keys_are_used_in_their_order(tmp_path: Path) -> None:
    texts = ",".join(base64.b64encode(key).decode() for key in (NEW, OLD))
    ring = KeyRing.load(settings(tmp_path, secret_keys=texts))
    assert KeyRing([NEW]).open("c", ring.seal("c", MARKER)) == MARKER
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["x", "AAAA", base64.b64encode(b"a" * 31).decode(), "not base64!"])
def test_a_bad_key_stops_the_start(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigurationError, match="CRAWL_SECRET_KEYS"):
        KeyRing.load(settings(tmp_path, secret_keys=key))


def test_processes_that_share_a_broker_make_no_key_of_their_own(tmp_path: Path) -> None:
    ring = KeyRing.load(settings(tmp_path, broker_url="redis://127.0.0.1:9/0"))
    with pytest.raises(InvalidRequest, match="CRAWL_SECRET_KEYS"):
        ring.seal("c", MARKER)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
async def database(each_database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A migrated database with the crawls `a` and `b`."""
    url = each_database_url or f"sqlite:///{tmp_path / 'crawl.db'}"
    await upgrade_async(url)
    async with Database(url) as opened:
        async with opened.write() as connection:
            await connection.execute(insert(accounts).values(id="acc", created_at=0))
            for crawl_id in ("a", "b"):
                row = {
                    "id": crawl_id,
                    "account_id": "acc",
                    "status": "running",
                    "seed_url": "x",
                    "options": "{}",
                    "kind": "static",
                    "url_limit": 1,
                    "max_depth": 1,
                    "request_hash": "",
                    "created_at": 0,
                }
                await connection.execute(insert(crawls).values(**row, deadline_at=0))
        yield opened


async def test_c37_c39_a_secret_is_kept_sealed_until_it_is_forgotten(database: Database) -> None:
    secrets = Secrets(database, KeyRing([NEW]))
    async with database.write() as connection:
        await secrets.put(connection, "a", MARKER)
    assert await secrets.get("a") == MARKER
    assert await secrets.get("b") is None
    async with database.read() as connection:
        sealed = (await connection.execute(select(crawl_secrets.c.sealed))).scalar_one()
    assert MARKER.encode() not in sealed
    async with database.write() as connection:
        await forget_secret(connection, "a")
    assert await secrets.get("a") is None


async def test_c39_a_secret_goes_with_its_crawl(database: Database) -> None:
    secrets = Secrets(database, KeyRing([NEW]))
    async with database.write() as connection:
        await secrets.put(connection, "a", MARKER)
        await connection.execute(crawls.delete().where(crawls.c.id == "a"))
    async with database.read() as connection:
        assert (await connection.execute(select(crawl_secrets))).all() == []


async def test_c40_after_sealing_anew_the_old_key_can_go(database: Database) -> None:
    async with database.write() as connection:
        await Secrets(database, KeyRing([OLD])).put(connection, "a", MARKER)
        await Secrets(database, KeyRing([os.urandom(32)])).put(connection, "b", "lost")
    with pytest.raises(SecretLost):
        await Secrets(database, KeyRing([NEW])).get("a")
    both = Secrets(database, KeyRing([NEW, OLD]))
    assert await both.count_seals() == Seals(newest=0, older=1, lost=1)
    assert await both.reseal() == 1
    assert await both.reseal() == 0
    assert await both.count_seals() == Seals(newest=1, older=0, lost=1)
    assert await Secrets(database, KeyRing([NEW])).get("a") == MARKER
    with pytest.raises(SecretLost):
        await Secrets(database, KeyRing([NEW])).get("b")
