"""Contents: the texts of records, each kept once under its digest.

Accounts share rows of `contents`, but a row is found by way of a record only, so nobody reads what is not theirs. A
text is compressed and sent to the database whether or not it is there already: storing a page takes as long for one
who is the first with its text as for one who is not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import zstandard
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Label,
    LargeBinary,
    Select,
    any_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from crawler.model import Outcome
from crawler.store.database import Database, now
from crawler.store.schema import bodies, contents

FORMATS = ("html", "markdown", "json")

_HOUR_MS = 3_600_000
#: Contents are looked at so long after they were last seen in use, and again so long after that.
_IDLE_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Packed:
    """The texts of one page, ready to be stored: a row of `bodies`, and the rows of `contents` it refers to."""

    body: Mapping[str, object]
    data: Mapping[bytes, bytes]


def pack(outcome: Outcome) -> Packed | None:
    """Compress a page's texts and links; None when it has none."""
    compressor = zstandard.ZstdCompressor(level=3)
    body: dict[str, object] = {"url_id": outcome.lease.url_id, "links": None}
    data = {}
    for name, text in zip(FORMATS, (outcome.html, outcome.markdown, outcome.json), strict=True):
        body[name] = None
        if text is not None:
            plain = text.encode("utf-8", "replace")
            digest = sha256(plain).digest()
            body[name] = digest
            data[digest] = compressor.compress(plain)
    if outcome.links:
        links = json.dumps(outcome.links, ensure_ascii=False, separators=(",", ":"))
        body["links"] = compressor.compress(links.encode("utf-8", "replace"))
    return Packed(body, data) if data or outcome.links else None


def unpack(data: bytes | None) -> str | None:
    """The text of a content."""
    return None if data is None else zstandard.decompress(data).decode()


def unpack_links(data: bytes | None) -> tuple[str, ...]:
    """The links of a page."""
    return () if data is None else tuple(json.loads(zstandard.decompress(data)))


def select_bodies() -> Select[tuple[int, bytes | None, bytes | None, bytes | None]]:
    """Bodies with the data of their contents, as `url_id`, `html`, `markdown`, `json`."""
    joined, texts = _join_contents(bodies)
    return select(bodies.c.url_id, *texts).select_from(joined)


def select_with_bodies(rows: FromClause, wanted: ColumnElement[bool]) -> Select[Any]:
    """Rows that have the `id` of a URL, with `html`, `markdown` and `json` where `wanted`.

    Joined one by one: of a sub-select SQLite would read the bodies of all crawls first.
    """
    joined, texts = _join_contents(rows.outerjoin(bodies, wanted & (bodies.c.url_id == rows.c.id)))
    return select(rows, *texts).select_from(joined)


def _join_contents(joined: FromClause) -> tuple[FromClause, list[Label[bytes | None]]]:
    texts = []
    for name in FORMATS:
        part = contents.alias(f"{name}_contents")
        joined = joined.outerjoin(part, bodies.c[name] == part.c.digest)
        texts.append(part.c.data.label(name))
    return joined, texts


class Contents:
    """Contents of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        row = dialect.insert(contents).values(
            digest=bindparam("digest"), data=bindparam("data"), used_at=now()
        )
        self._insert = row.on_conflict_do_update(
            index_elements=[contents.c.digest],
            set_={"used_at": row.excluded.used_at},
            # The row is locked even where this is false, and that is what keeps `sweep` off it.
            where=contents.c.used_at < row.excluded.used_at - _HOUR_MS,
        )
        self._insert_body = insert(bodies)
        self._idle = (
            select(contents.c.digest)
            .where(contents.c.used_at < now() - _IDLE_MS)
            .order_by(contents.c.used_at)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        )
        if database.is_sqlite:
            of_these: ColumnElement[bool] = contents.c.digest.in_(bindparam("digests", expanding=True))
        else:
            # One parameter: the statement is prepared once for any number of them.
            of_these = contents.c.digest == any_(bindparam("digests", type_=postgresql.ARRAY(LargeBinary)))
        self._delete_unused = delete(contents).where(of_these, ~_is_used())
        self._mark_as_seen = update(contents).where(of_these).values(used_at=now())

    async def store(self, connection: AsyncConnection, pages: Sequence[Packed]) -> None:
        """Store these pages. Rows of `contents` are locked until the end of the transaction."""
        data: dict[bytes, bytes] = {}
        for page in pages:
            data |= page.data
        if data:
            # In order, so that two transactions with the same contents wait for each other instead of dying.
            rows = [{"digest": digest, "data": data[digest]} for digest in sorted(data)]
            await connection.execute(self._insert, rows)
        if pages:
            await connection.execute(self._insert_body, [page.body for page in pages])

    async def sweep(self, most: int) -> tuple[int, float]:
        """Look at up to `most` contents that were not seen in use for a day: delete those without a record, mark the
        others as seen. Returns how many were looked at, 0 when none is left, and for how long locks were held, seconds.

        A page that is being stored holds the rows of its contents, which are passed over here; once it is stored
        they are no longer idle.
        """
        async with self._database.write() as connection:
            started_at = time.monotonic()
            digests = list((await connection.execute(self._idle, {"most": most})).scalars())
            if digests:
                # Statements of their own: they see the records of whoever touched these rows before they were locked.
                await connection.execute(self._delete_unused, {"digests": digests})
                await connection.execute(self._mark_as_seen, {"digests": digests})
        return len(digests), time.monotonic() - started_at


def _is_used() -> ColumnElement[bool]:
    """Of a content: a record refers to it."""
    return or_(*(exists().where(bodies.c[name] == contents.c.digest) for name in FORMATS))
