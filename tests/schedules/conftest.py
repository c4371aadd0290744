"""A scheduler on both databases, with the database's clock in the test's hands, and a server of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crawler.model import CrawlStatus
from crawler.runtime import Runtime
from crawler.settings import Settings
from crawler.store.clock import read_clock
from crawler.store.migrate import upgrade
from crawler.store.schedule_runs import Run
from crawler.store.schedules import Schedule
from tests.api.conftest import endless_seed, server, shared_server, site
from tests.store.conftest import Clock

#: Fixtures of the API's tests, for `test_api.py`.
__all__ = ["endless_seed", "server", "shared_server", "site"]

ACCOUNT = "local"
DAY_MS = 86_400_000
NOON_MS = DAY_MS // 2 + 1_000
#: Nothing is crawled in these tests, and robots.txt of a host that does not exist decides nothing.
SEED = "http://site.invalid/"
BODY = f'"crawl": {{"url": "{SEED}", "render": false}}'


@dataclass
class Scheduler:
    """A runtime and short words for what tests ask of it."""

    runtime: Runtime
    clock: Clock

    async def add(self, fields: str = '"cron": "* * * * *"', body: str = BODY) -> Schedule:
        """A schedule that is due every minute."""
        return await self.runtime.scheduling.add(ACCOUNT, f"{{{fields}, {body}}}".encode())

    async def go_to_noon(self) -> None:
        """Move the clock on to a second after the next noon, UTC: no test is to meet the end of a minute or a day."""
        at = await read_clock(self.runtime.database)
        await self.clock.advance((NOON_MS - at) % DAY_MS)

    async def pass_minutes(self, number: int) -> int:
        """Let minutes go by and fire once at the end. Returns how many due times were decided."""
        await self.clock.advance(number * 60_000)
        return await self.runtime.scheduling.fire_due()

    async def runs(self, schedule: Schedule) -> list[Run]:
        """All runs, oldest first."""
        runs, _ = await self.runtime.scheduling.list_runs(ACCOUNT, schedule.id, before=None, limit=1_000)
        return sorted(runs, key=lambda run: (run.due_at, run.id))

    async def statuses(self, schedule: Schedule) -> list[str]:
        """What became of each due time, oldest first."""
        return [str(run.status) for run in await self.runs(schedule)]

    async def end_crawl(self, crawl_id: str | None) -> None:
        """As if the crawl were done."""
        assert crawl_id is not None
        await self.runtime.service.cancel(ACCOUNT, crawl_id)

    async def crawls(self) -> dict[str, CrawlStatus]:
        """Every crawl of the account."""
        views, _ = await self.runtime.service.list_crawls(ACCOUNT, status=None, cursor=None, limit=1_000)
        return {view.id: view.status for view in views}


def firing_settings(data_dir: Path, database_url: str, **changes: object) -> Settings:
    """Settings of a process that only fires schedules."""
    # A proxy that is not there: no question about site.invalid leaves the machine.
    return Settings.load(
        data_dir=data_dir, database_url=database_url, egress_upstream_proxy="http://127.0.0.1:9", **changes
    )


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.servers)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty, migrated database."""
    if request.param == "postgres":
        return str(request.getfixturevalue("database_url"))
    url = f"sqlite:///{tmp_path / 'crawl.db'}"
    upgrade(url)
    return url


@pytest.fixture
def limits() -> dict[str, object]:
    """Settings of the scheduler, for tests to override."""
    return {}


@pytest.fixture
async def scheduler(store_url: str, tmp_path: Path, limits: dict[str, object]) -> AsyncIterator[Scheduler]:
    """One scheduler on an empty database, a second after noon."""
    clock = Clock()
    async with Runtime(firing_settings(tmp_path, store_url, **limits), clock_ms=clock) as runtime:
        clock.database = runtime.database
        running = Scheduler(runtime, clock)
        await running.go_to_noon()
        yield running
