"""A deployment is renewed while it works: the previous version, taken from the history, runs beside this one."""

from __future__ import annotations

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from crawler.store.migrate import head
from tests.distributed.conftest import ROOT
from tests.faults.conftest import open_rig
from tests.faults.origin import HOSTS
from tests.faults.points import locked
from tests.faults.previous import migrate, unpack_previous
from tests.faults.rig import Rig

pytestmark = pytest.mark.chaos

#: So long a claim may wait for a migration at most; the gap between two leases holds a claim's own time, too.
_LONGEST_GAP_SECONDS = 2.5
#: Rows of an older crawl, so that what rewrites or scans a table takes its time.
_OLD_ROWS = 300_000


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    return unpack_previous(tmp_path)


@pytest.fixture
async def old_rig(postgres_url: str, redis_url: str, tmp_path: Path, previous: Path) -> AsyncIterator[Rig]:
    """A deployment whose processes are of the previous version, until `rig.cluster.tree` is another one."""
    name = f"crawl_previous_{uuid.uuid4().hex}"
    url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    server = await asyncpg.connect(postgres_url)
    await server.execute(f'CREATE DATABASE "{name}"')
    try:
        await migrated(previous, url)
        async with open_rig(url, redis_url, tmp_path, tree=previous) as rig:
            yield rig
    finally:
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await server.close()


async def migrated(tree: Path, database_url: str) -> None:
    migrating = migrate(tree, database_url)
    output, _ = await asyncio.to_thread(migrating.communicate)
    assert migrating.returncode == 0, output.decode()


async def version(rig: Rig) -> object:
    return await rig.value("SELECT version_num FROM alembic_version")


async def fill(rig: Rig) -> None:
    """Make the tables large, with a crawl that has ended long ago."""
    await rig.execute(
        f"""
        INSERT INTO accounts (id, created_at) VALUES ('old', 0);
        INSERT INTO crawls (id, account_id, status, seed_url, options, kind, url_limit, max_depth, request_hash,
                            created_at, deadline_at, ended_at, completed, next_seq)
        VALUES ('old', 'old', 'completed', 'http://old.test/', '{{"maxAge": 0, "incremental": false}}',
                'static', 1000000, 1, '', 0, 0, 0,
                {_OLD_ROWS}, {_OLD_ROWS} + 1);
        INSERT INTO urls (crawl_id, seq, role, url, url_key, kind, rank, depth, status, finished_at)
        SELECT 'old', n, 'page', 'http://old.test/' || n, n, 'static', n, 1, 'completed', 0
        FROM generate_series(1, {_OLD_ROWS}) n;
        INSERT INTO held_links (crawl_id, seq, depth, links)
        SELECT 'old', n, 1, '' FROM generate_series(1, {_OLD_ROWS} / 10) n;
        INSERT INTO robots (origin, state, expires_at)
        SELECT 'http://old' || n || '.test', 'none', crawl_now() FROM generate_series(1, {_OLD_ROWS}) n;
        INSERT INTO circuits (host_id, origin, next_try_at)
        SELECT n, 'http://old' || n || '.test', crawl_now() FROM generate_series(1000000, 1000000 + {_OLD_ROWS} / 10) n;
        INSERT INTO hosts (name) SELECT 'old' || n || '.test' FROM generate_series(1, {_OLD_ROWS} / 10) n;
        """
    )


async def test_x38_x39_a_deployment_is_renewed_under_load(old_rig: Rig) -> None:
    rig = old_rig
    await fill(rig)
    await rig.start_api()
    await rig.start_scheduler()
    await rig.start_worker("a")
    for host in HOSTS:
        await rig.post(host=host, size=60)
    await rig.until(lambda: len(rig.origin.pages()) > 10, "the crawls are under way")

    began = time.time()
    await migrated(ROOT, rig.database_url)
    assert await version(rig) == head()
    seen = len(rig.origin.pages())
    await rig.until(lambda: len(rig.origin.pages()) > seen + 10, "the old version goes on on the new schema")
    longest = await longest_gap(rig, began)

    # The new version joins, one process after the other; the API first, which speaks to old workers from then on.
    rig.cluster.tree = ROOT
    await asyncio.to_thread(rig.cluster.stop, "api")
    await rig.start_api()
    await rig.post(size=20)
    await rig.start_worker("b")
    rig.kill_children("a")
    for host in HOSTS:
        await rig.post(host=host, size=30)
    seen = len(rig.origin.pages())
    await rig.until(lambda: len(rig.origin.pages()) > seen + 10, "both versions work side by side")
    await asyncio.to_thread(rig.cluster.stop, "scheduler")
    await rig.start_scheduler()
    await asyncio.to_thread(rig.cluster.stop, "a", signal.SIGTERM)
    evidence = await rig.check()
    assert {
        change.actor.partition("_")[0] for change in evidence.changes if change.became == "completed"
    } >= {"a", "b"}
    assert longest < _LONGEST_GAP_SECONDS


async def longest_gap(rig: Rig, began: float) -> float:
    """Seconds without any lease, since `began`."""
    connection = await asyncpg.connect(rig.database_url)
    try:
        leased = await connection.fetch(
            "SELECT at FROM audit WHERE became = 'leased' AND at >= $1 ORDER BY at", began
        )
    finally:
        await connection.close()
    times: list[float] = [began, *(row["at"] for row in leased)]
    return max(later - earlier for earlier, later in pairwise(times))


async def test_x39_a_migration_that_cannot_have_its_locks_gives_up_and_can_be_repeated(old_rig: Rig) -> None:
    rig = old_rig
    before = await version(rig)
    # Somebody has the tables for a long time, and the one that every migration writes to: a backup, another migrator.
    tables = "LOCK TABLE crawls, urls, hosts IN ACCESS SHARE MODE; LOCK TABLE alembic_version IN SHARE MODE"
    async with locked(rig, tables):
        began = time.monotonic()
        given_up = migrate(ROOT, rig.database_url)
        output, _ = await asyncio.to_thread(given_up.communicate)
        assert given_up.returncode == 1, output.decode()
        assert time.monotonic() - began < 30
        assert "Traceback" not in output.decode()
        assert await version(rig) == before

        # Killed half-way, while it waits for its lock.
        killed = migrate(ROOT, rig.database_url)
        await rig.found(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
            "the migration waits for its lock",
        )
        killed.kill()
        await asyncio.to_thread(killed.communicate)
    assert await version(rig) == before
    await migrated(ROOT, rig.database_url)
    assert await version(rig) == head()
