"""The tick does all of its chores, also when one of them fails."""

from __future__ import annotations

import pytest
from sqlalchemy import exists, insert, select, text, update

from crawler.store.addresses import Addresses
from crawler.store.schema import addresses, circuits, crawls, hosts, robots
from tests.schedules.conftest import ACCOUNT, BODY, Scheduler

pytestmark = pytest.mark.slow

OLD = "http://old.test"


async def _refuse_to_delete(scheduler: Scheduler, table: str) -> None:
    """Let the database fail each time when a row of this table is to be deleted."""
    refuse = f"CREATE TRIGGER broken BEFORE DELETE ON {table} "
    if scheduler.runtime.database.is_sqlite:
        statements = [refuse + "BEGIN SELECT RAISE(ABORT, 'the table is broken'); END"]
    else:
        body = "BEGIN RAISE EXCEPTION 'the table is broken'; END"
        statements = [
            f"CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
            refuse + "FOR EACH ROW EXECUTE FUNCTION broken()",
        ]
    async with scheduler.runtime.database.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def _what_is_old(scheduler: Scheduler, crawl_id: str | None) -> set[str]:
    """Tables whose old row is there."""
    of = {
        addresses: addresses.c.host == "old.test",
        circuits: circuits.c.origin == OLD,
        crawls: crawls.c.id == crawl_id,
        robots: robots.c.origin == OLD,
    }
    async with scheduler.runtime.database.read() as connection:
        return {
            table.name
            for table, is_old in of.items()
            if (await connection.execute(select(exists().where(is_old)))).scalar_one()
        }


@pytest.mark.parametrize("broken", ["addresses", "circuits", "crawls", "robots"])
async def test_a_chore_that_fails_stops_no_other(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    runtime = scheduler.runtime
    schedule = await scheduler.add('"intervalSeconds": 86400')
    old = (await runtime.scheduling.run_now(ACCOUNT, schedule.id)).crawl_id
    await scheduler.end_crawl(old)
    await Addresses(runtime.database, gap_ms=200).reserve("192.0.2.1", "old.test")
    async with runtime.database.write() as connection:
        await connection.execute(insert(circuits), {"host_id": 1_000, "origin": OLD})
        await connection.execute(insert(robots), {"origin": OLD, "state": "none"})
    await scheduler.clock.advance(runtime.settings.retention_seconds * 1000 + 86_400_000)
    # A crawl whose host is due.
    waiting = await scheduler.add(body=BODY.replace("site.", "waiting."))
    await runtime.scheduling.run_now(ACCOUNT, waiting.id)
    async with runtime.database.write() as connection:
        await connection.execute(update(hosts).values(next_fetch_at=0))
    await _refuse_to_delete(scheduler, broken)
    assert len(await _what_is_old(scheduler, old)) == 4
    counts = await runtime.maintenance.tick()
    assert await _what_is_old(scheduler, old) == {broken}
    assert (await scheduler.statuses(schedule))[-1] == "ran"
    assert counts.rung == 1
    assert caplog.text.count("the others go on") == 1
    assert "the table is broken" in caplog.text
