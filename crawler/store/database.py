"""The one door to SQL: engines, transactions, the clock, and all that differs between SQLite and Postgres.

Everything else in `crawler.store` is written once for both. SQLite has one writer at a time (`BEGIN IMMEDIATE`,
WAL); Postgres locks rows, a clause that SQLite's compiler drops.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    case,
    cast,
    column,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.types import TypeEngine

from crawler.errors import ConfigurationError, StorageFull, Unavailable

_TYPES: Mapping[type, type[TypeEngine[Any]]] = {int: BigInteger, str: Text}


def wall_clock_ms() -> int:
    """Milliseconds since the epoch by this machine's clock."""
    return int(time.time() * 1000)


def async_url(url: str) -> URL:
    """The URL with the driver that we use. Raises ConfigurationError for other databases."""
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql":
            return parsed.set(drivername="postgresql+asyncpg")
        case other:
            message = f"CRAWL_DATABASE_URL: {other} is not supported, use postgresql://… or sqlite:///…"
            raise ConfigurationError(message)


class Database:
    """A database of either kind. `clock` (milliseconds) is SQLite's `crawl_now()`; Postgres has its own."""

    def __init__(self, url: str, *, pool_size: int = 8, clock: Callable[[], int] = wall_clock_ms) -> None:
        parsed = async_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            self._writer = create_async_engine(parsed, pool_size=1, max_overflow=0, pool_timeout=30)
            self._reader = create_async_engine(parsed, pool_size=4, max_overflow=0, pool_timeout=30)
            prepare_sqlite(self._writer, begin="BEGIN IMMEDIATE", clock=clock)
            prepare_sqlite(self._reader, begin="BEGIN", clock=clock)
        else:
            self._writer = create_async_engine(
                parsed,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=5,
                connect_args={
                    "timeout": 5,
                    "command_timeout": 60,
                    "server_settings": {
                        "application_name": "crawl",
                        # A worker that is paused inside a transaction must not hold its locks for ever.
                        "idle_in_transaction_session_timeout": "30000",
                        "jit": "off",
                    },
                },
            )
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed at the end of the block, rolled back by an exception.

        Raises Unavailable when the database cannot be reached, is busy or is full."""
        with translated_errors():
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for statements that change nothing. Raises Unavailable like `write`."""
        with translated_errors():
            async with self._reader.connect() as connection:
                yield connection

    async def has(self, rows: Select[Any], parameters: Mapping[str, object] | None = None) -> bool:
        """Whether there is any of these rows: a look that spares a transaction which would write nothing.

        Raises Unavailable like `write`."""
        async with self.read() as connection:
            return (await connection.execute(rows, parameters)).first() is not None

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        if self.is_sqlite:
            await self._reader.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def rows(self, parameter: str, **columns: type) -> FromClause:
        """A table made of one JSON parameter: bind `parameter` to `encode_rows(…)` when the statement runs.

        The statement's text is the same for any number of rows, so it is compiled and prepared only once.
        """
        document = bindparam(parameter, type_=Text)
        if self.is_sqlite:
            each = func.json_each(document).table_valued("value", name=f"{parameter}_each")
            return select(
                *(func.json_extract(each.c.value, text(f"'$.{name}'")).label(name) for name in columns)
            ).subquery(parameter)
        return (
            func.jsonb_to_recordset(cast(document, JSONB))
            .table_valued(*(column(name, _TYPES[kind]) for name, kind in columns.items()))
            .render_derived(name=parameter, with_types=True)
        )

    def members(self, parameter: str, kind: type) -> ScalarSelect[Any]:
        """`column.in_(members("ids", int))`: membership in one JSON parameter, bound to `json.dumps(list)`."""
        document = bindparam(parameter, type_=Text)
        if self.is_sqlite:
            each = func.json_each(document).table_valued("value", name=f"{parameter}_each")
            return select(each.c.value).scalar_subquery()
        elements = func.jsonb_array_elements_text(cast(document, JSONB)).table_valued(
            column("value", Text), name=f"{parameter}_each"
        )
        return select(cast(elements.c.value, _TYPES[kind])).scalar_subquery()


def encode_rows(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as the JSON text that `Database.rows` reads."""
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def now() -> ScalarSelect[int]:
    """The database's clock, milliseconds. A sub-select, so that the planner can use it with an index."""
    return select(func.crawl_now(type_=BigInteger)).scalar_subquery()


def later_of(left: ColumnElement[int], right: ColumnElement[int]) -> ColumnElement[int]:
    """The greater of two values, neither NULL (`max` and `greatest` differ between the databases)."""
    return case((left >= right, left), else_=right)


def prepare_sqlite(engine: AsyncEngine, *, begin: str, clock: Callable[[], int]) -> None:
    """Give every connection of the engine our pragmas, `crawl_now()` and explicit transactions."""

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            # FULL: an accepted crawl survives a power cut, as it does on Postgres.
            "synchronous = FULL",
            "foreign_keys = ON",
            "busy_timeout = 5000",
            "cache_size = -32768",
            "wal_autocheckpoint = 2000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        connection.create_function("crawl_now", 0, clock)

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)


@contextmanager
def translated_errors() -> Iterator[None]:
    """The only place that knows the drivers' exceptions: those that mean "away" or "in use" become Unavailable, and so
    do those by which Postgres ends one of two transactions that wait for each other (class 40): nothing was changed,
    and asking again helps."""
    try:
        yield
    except (PoolTimeoutError, OSError, TimeoutError) as error:
        raise Unavailable("The database cannot be reached.") from error
    except (OperationalError, InterfaceError) as error:
        if _is_full(error):
            raise StorageFull from error
        raise Unavailable("The database is not available.") from error
    except DBAPIError as error:
        if _is_full(error):
            raise StorageFull from error
        # asyncpg reports shutdown, recovery and too many connections as plain DBAPIErrors.
        state = _sqlstate(error)
        if state == "55P03" or state[:2] == "40":
            raise Unavailable("The tables of the database are in use; nothing was changed.") from error
        if error.connection_invalidated or state[:2] in {"08", "53", "57"} or state == "25P03":
            raise Unavailable("The database is not available.") from error
        raise


def _is_full(error: DBAPIError) -> bool:
    """No room left on the disk (SQLSTATE 53100), or in the file (SQLITE_FULL)."""
    return _sqlstate(error) == "53100" or getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")
