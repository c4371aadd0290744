"""No connection to the database is free (X25): requests are told to come back, pages wait, all goes on by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from crawler.errors import Unavailable
from crawler.store.database import Database
from tests.api.server import serving, settings
from tests.engine.origin import NOT_FOUND, answer, serve
from tests.fetch.origins import PUBLIC

PAGES = 20


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def role(admin: asyncpg.Connection) -> AsyncIterator[str]:
    """A user that may have two connections, far less than the pool of one process."""
    name = f"narrow_{uuid4().hex}"
    await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}' CONNECTION LIMIT 2")
    await admin.execute(f"GRANT pg_read_all_data, pg_write_all_data TO {name}")
    yield name
    await admin.execute(f"DROP ROLE {name}")


async def test_x25_a_database_with_too_few_connections(
    database_url: str, admin: asyncpg.Connection, role: str, tmp_path: Path
) -> None:
    parts = urlsplit(database_url)
    url = parts._replace(netloc=f"{role}:{role}@{parts.netloc.rpartition('@')[2]}").geturl()
    links = "".join(f'<a href="/{number}">x</a>' for number in range(PAGES))
    pages = {"/robots.txt": NOT_FOUND, "/": answer(links)}
    async with (
        serve(lambda path: pages.get(path, answer("page")), PUBLIC) as origin,
        serving(settings(tmp_path, database_url=url)) as server,
    ):
        body = {"url": origin.url(host=PUBLIC), "render": False, "source": "links", "limit": 100}
        answers = await asyncio.gather(*(server.post(body) for _ in range(30)))
        statuses = Counter(answer.status_code for answer in answers)
        assert statuses.keys() <= {200, 503}
        assert statuses[503], "two connections are not enough for thirty requests at once"
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 503)
        await admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        accepted = [answer.json()["result"] for answer in answers if answer.status_code == 200]
        accepted.append(await server.create(**body))
        for crawl_id in accepted:
            ended = await server.wait(crawl_id)
            assert (ended["status"], ended["finished"]) == ("completed", PAGES + 1)
            assert {record["status"] for record in ended["records"]} == {"completed"}


async def test_x25_a_pool_without_a_free_connection(database_url: str) -> None:
    async with Database(database_url, pool_size=1) as database:
        async with database.read():
            with pytest.raises(Unavailable):
                async with database.read():
                    pass
        async with database.read():
            pass
