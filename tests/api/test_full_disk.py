"""A disk without room (X33): nothing is accepted that could not be kept, nothing is lost, and all goes on by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from crawler.store.migrate import upgrade_async
from tests import servers
from tests.api.server import Server, serving, settings
from tests.disks import fill, small_disk
from tests.engine.origin import NOT_FOUND, answer, serve
from tests.fetch.origins import PUBLIC

PAGES = 20
#: The schema takes 12 of it on Postgres.
DISK_BYTES = 32 << 20


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of 32 MiB."""
    with small_disk(DISK_BYTES) as place:
        yield place


async def go_through_a_full_disk(server: Server, disk: Path) -> None:
    """Fill the disk while pages are on their way, see what still works, make room and see the crawl end."""
    may_answer = asyncio.Event()
    links = "".join(f'<a href="/{number}">x</a>' for number in range(PAGES))

    async def handler(path: str) -> bytes:
        if path in ("/robots.txt", "/"):
            return NOT_FOUND if path == "/robots.txt" else answer(links)
        await may_answer.wait()
        # Nothing that compresses well, so that every page needs room.
        return answer(f"<p>{os.urandom(40_000).hex()}")

    async with serve(handler, PUBLIC) as origin:
        crawl_id = await server.create(
            url=origin.url(host=PUBLIC), source="links", limit=100, formats=["html"]
        )
        await server.wait(crawl_id, lambda result: len(origin.paths) >= PAGES // 2)
        filler = fill(disk)
        may_answer.set()
        body = {"url": origin.url("/other", host=PUBLIC), "render": False, "source": "links"}
        async with asyncio.timeout(30):
            # The database still has pages of its own that are empty.
            while (refused := await server.post(body)).status_code == 200:
                pass
        assert refused.status_code == 503
        assert "storage_full" in refused.json()["errors"][0]["message"]
        assert int(refused.headers["retry-after"]) > 0
        view = await server.read(crawl_id)
        assert view["status"] == "running"
        filler.unlink()
        ended = await server.wait(crawl_id)
    assert (ended["status"], ended["total"], ended["finished"]) == ("completed", PAGES + 1, PAGES + 1)
    assert all(record["status"] == "completed" for record in ended["records"])
    pages = [path for path in origin.paths if path not in ("/robots.txt", "/", "/other")]
    assert len(pages) == len(set(pages)) == PAGES, "no page had to be fetched again"


async def test_x33_sqlite_on_a_full_disk(disk: Path, tmp_path: Path) -> None:
    chosen = settings(tmp_path, database_url=f"sqlite:///{disk / 'crawl.db'}")
    async with serving(chosen) as server:
        await go_through_a_full_disk(server, disk)


async def test_x33_postgres_on_a_full_disk(
    disk: Path, tmp_path: Path, postgres_server: servers.Server, postgres_url: str
) -> None:
    """Its tables are on the full disk; where its log is full Postgres stops, which is X17."""
    folder = disk / "tables"
    folder.mkdir()
    shutil.chown(folder, psutil.Process(postgres_server.pid).username())
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        await connection.execute("CREATE DATABASE full_disk TABLESPACE small")
        url = postgres_url.rpartition("/")[0] + "/full_disk"
        await upgrade_async(url)
        async with serving(settings(tmp_path, database_url=url)) as server:
            await go_through_a_full_disk(server, disk)
    finally:
        await connection.execute("DROP DATABASE IF EXISTS full_disk WITH (FORCE)")
        await connection.execute("DROP TABLESPACE IF EXISTS small")
        await connection.close()
