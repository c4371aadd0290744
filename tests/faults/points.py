"""Points in the middle of a worker's work at which a test stops it, by name (security X3).

The product has no code for that. What stops a worker is a lock in the database that the test holds and that its next
statement needs. So the point is exact, and what the worker has committed before it is known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import asyncpg

from tests.faults.rig import Rig

HOST = "h0.test"
#: Advisory locks that the triggers below take, shared; a test that holds one alone makes them wait.
_CHILDREN, _COMMIT = 4_711, 4_712
#: Held alone, nobody's COMMIT of a new crawl is done.
POSTS = 4_713

_TRIGGERS = f"""
CREATE FUNCTION wait_for() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(TG_ARGV[0]::bigint);
    RETURN NEW;
END $$;
-- The second link of a root page: the first one is written, nothing is committed.
CREATE TRIGGER mid_children BEFORE INSERT ON urls FOR EACH ROW WHEN (NEW.seq = 3)
    EXECUTE FUNCTION wait_for({_CHILDREN});
-- Deferred triggers run when COMMIT has been asked for: it will be done, whether or not somebody hears of it.
CREATE CONSTRAINT TRIGGER in_commit AFTER UPDATE ON urls DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.status = 'completed') EXECUTE FUNCTION wait_for({_COMMIT});
CREATE CONSTRAINT TRIGGER in_post AFTER INSERT ON crawls DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION wait_for({POSTS});
"""


async def install_points(rig: Rig) -> None:
    """Prepare a migrated database."""
    await rig.execute(_TRIGGERS)


@asynccontextmanager
async def locked(rig: Rig, statement: str) -> AsyncIterator[None]:
    """Hold what `statement` locks."""
    connection = await asyncpg.connect(rig.database_url)
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield
    finally:
        await connection.close()


async def stuck(rig: Rig, query: str) -> str:
    """Wait until a process waits for a lock with a statement LIKE this. Returns the process's name."""
    name = await rig.found(
        "SELECT split_part(usename, '_', 1) FROM pg_stat_activity "
        f"WHERE wait_event_type = 'Lock' AND usename <> current_user AND query LIKE '{query}'",
        f"somebody is stuck in {query}",
    )
    return str(name)


@asynccontextmanager
async def after_claim(rig: Rig) -> AsyncIterator[str]:
    """The lease is committed, nothing else has happened: what comes next is to look for the crawl's secret."""
    async with locked(rig, "LOCK TABLE crawl_secrets IN ACCESS EXCLUSIVE MODE"):
        await rig.post(host=HOST, size=7)
        yield await stuck(rig, "%FROM crawl_secrets%")


@asynccontextmanager
async def before_dial(rig: Rig) -> AsyncIterator[str]:
    """The connection to the origin stands, and the turn, which has grown old, is being renewed. No byte has left."""
    async with AsyncExitStack() as until_dialled:
        await until_dialled.enter_async_context(
            locked(rig, "LOCK TABLE crawl_secrets IN ACCESS EXCLUSIVE MODE")
        )
        crawl_id = await rig.post(host=HOST, size=7)
        await stuck(rig, "%FROM crawl_secrets%")
        await rig.found(
            f"SELECT next_fetch_at < crawl_now() FROM hosts WHERE name = '{HOST}'", "a turn is over"
        )
        async with locked(rig, f"SELECT 1 FROM hosts WHERE name = '{HOST}' FOR UPDATE"):
            await until_dialled.aclose()
            name = await stuck(rig, "UPDATE hosts%")
            assert rig.origin.count(rig.path(crawl_id)) == 0
            yield name


@asynccontextmanager
async def after_fetch(rig: Rig) -> AsyncIterator[str]:
    """The page is there, nothing of it is written: the crawl's row comes first."""
    crawl_id = await _post_with_held_root(rig)
    async with locked(rig, f"SELECT 1 FROM crawls WHERE id = '{crawl_id}' FOR UPDATE"):
        rig.origin.release()
        yield await stuck(rig, "SELECT crawls.id%")


@asynccontextmanager
async def mid_children(rig: Rig) -> AsyncIterator[str]:
    """One of two links is inserted."""
    async with locked(rig, f"SELECT pg_advisory_xact_lock({_CHILDREN})"):
        await rig.post(host=HOST, size=7)
        yield await stuck(rig, "INSERT INTO urls%")


@asynccontextmanager
async def before_commit(rig: Rig) -> AsyncIterator[str]:
    """Everything is written, nothing is committed: last of all come the hosts with new work."""
    await _post_with_held_root(rig)
    async with locked(rig, f"SELECT 1 FROM hosts WHERE name = '{HOST}' FOR UPDATE"):
        rig.origin.release()
        yield await stuck(rig, "SELECT hosts.id%")


@asynccontextmanager
async def in_commit(rig: Rig) -> AsyncIterator[str]:
    """COMMIT has been asked for."""
    async with locked(rig, f"SELECT pg_advisory_xact_lock({_COMMIT})"):
        await rig.post(host=HOST, size=7)
        yield await stuck(rig, "COMMIT%")


async def _post_with_held_root(rig: Rig) -> str:
    rig.origin.hold_next("0")
    crawl_id = await rig.post(host=HOST, size=7)
    await rig.until(lambda: rig.origin.count(rig.path(crawl_id)) > 0, "the first page is asked for")
    return crawl_id


#: In the order of the work. Each posts a crawl, waits until a worker is stuck at the point and says which; at the end
#: of the block nothing holds the worker any more.
POINTS: Mapping[str, Callable[[Rig], AbstractAsyncContextManager[str]]] = {
    "after_claim": after_claim,
    "before_dial": before_dial,
    "after_fetch": after_fetch,
    "mid_children": mid_children,
    "before_commit": before_commit,
    "in_commit": in_commit,
}
