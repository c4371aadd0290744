"""Embedded: one process on SQLite is killed and started again, and keeps the promises of a whole deployment (X44)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.distributed.conftest import ROOT, TOKEN, Cluster, wait_until
from tests.faults.deployment import make_cluster
from tests.faults.evidence import CHANGE_COLUMNS, Change, Evidence, crawl_of, url_of
from tests.faults.invariants import violations
from tests.faults.origin import INTERVALS, Origin
from tests.faults.poller import Poller
from tests.servers import free_port

pytestmark = pytest.mark.chaos

#: Every change of a URL's status; `actor` has one row, the process that is alive.
_AUDIT = """
CREATE TABLE actor (name text);
CREATE TABLE audit (
    id integer PRIMARY KEY, url_id int, was text, became text, reason text, attempts int, given_back int,
    actor text, at real
);
CREATE TRIGGER audit_insert AFTER INSERT ON urls BEGIN
    INSERT INTO audit SELECT NULL, NEW.id, NULL, NEW.status, NEW.reason, NEW.attempts, 0, name,
        (julianday('now') - 2440587.5) * 86400.0 FROM actor;
END;
CREATE TRIGGER audit_update AFTER UPDATE OF status ON urls BEGIN
    INSERT INTO audit SELECT NULL, NEW.id, OLD.status, NEW.status, NEW.reason, NEW.attempts,
        NEW.attempts < OLD.attempts, name, (julianday('now') - 2440587.5) * 86400.0 FROM actor;
END;
"""


@dataclass
class Embedded:
    """`crawl serve` on one data folder, over several lives."""

    cluster: Cluster
    origin: Origin
    poller: Poller
    accepted: set[str] = field(default_factory=set)
    lives: int = 0

    def start(self) -> None:
        """A new life, which shows its own name to the origin and in the audit."""
        self.lives += 1
        name = f"life{self.lives}"
        self.cluster.environment["CRAWL_USER_AGENT"] = f"OpenCrawl/0.1 {name}"
        if self.file.exists():
            self.execute(f"DELETE FROM actor; INSERT INTO actor VALUES ('{name}');")
        self.cluster.start_api()

    def kill(self) -> None:
        self.cluster.kill("api")

    @property
    def file(self) -> Path:
        return Path(self.cluster.environment["CRAWL_DATA_DIR"]) / "crawl.db"

    def execute(self, script: str) -> None:
        with closing(sqlite3.connect(self.file, timeout=30)) as database:
            database.executescript(script)

    async def post(self, host: str, size: int) -> str:
        tag = f"t{len(self.accepted)}"
        body = {"url": self.origin.url(host, tag, size), "render": False, "source": "links", "limit": 100}
        async with httpx.AsyncClient(headers=self.poller.headers, timeout=30, verify=False) as client:
            answer = await client.post(self.poller.base_url, json=body)
        crawl_id: str = answer.json()["result"]
        self.accepted.add(crawl_id)
        self.poller.crawl_ids.append(crawl_id)
        return f"/{tag}/{size}/"

    async def asked(self, path: str, times: int = 1) -> None:
        await asyncio.to_thread(
            wait_until, lambda: self.origin.count(path) >= times, f"{path} is asked for {times} times"
        )

    async def check(self) -> Evidence:
        """Wait for the end of everything, then hold it against every invariant."""
        for crawl_id in self.accepted:
            await asyncio.to_thread(
                wait_until,
                lambda crawl_id=crawl_id: self.poller.status(crawl_id) not in {"", "running"},  # type: ignore[misc]
                f"the end of crawl {crawl_id}",
            )
        with closing(sqlite3.connect(self.file, timeout=30)) as database:
            database.row_factory = sqlite3.Row
            evidence = Evidence(
                crawls=[crawl_of(row) for row in database.execute("SELECT * FROM crawls")],
                urls=[url_of(row) for row in database.execute("SELECT * FROM urls")],
                changes=[
                    Change(**dict(row))
                    for row in database.execute(f"SELECT {CHANGE_COLUMNS} FROM audit ORDER BY id")
                ],
                requests=tuple(self.origin.requests),
                intervals=INTERVALS,
                walks=tuple(self.poller.walks),
                accepted=frozenset(self.accepted),
                bad_answers=tuple(self.poller.bad_answers),
                canary_hits=self.origin.canary_hits,
            )
        found = violations(evidence)
        assert not found, "\n".join(found)
        return evidence


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    with Origin() as origin:
        cluster = make_cluster(tmp_path, free_port(), origin, ROOT)
        cluster.environment |= {"CRAWL_DATABASE_URL": "", "CRAWL_BROKER_URL": ""}
        with Poller(cluster.base_url, TOKEN) as poller:
            running = Embedded(cluster, origin, poller)
            running.start()
            running.execute(_AUDIT + "INSERT INTO actor VALUES ('life1');")
            try:
                yield running
            finally:
                origin.release()
                cluster.close()


async def test_x44_a_killed_process_goes_on_where_it_was(embedded: Embedded) -> None:
    first = await embedded.post("h0.test", 60)
    await embedded.post("h1.test", 20)
    for number in (3, 7, 15):
        # In the middle of a page, with others being fetched and written.
        embedded.origin.hold_next(str(number))
        await embedded.asked(f"{first}{number}")
        await asyncio.to_thread(embedded.kill)
        embedded.origin.release()
        await asyncio.to_thread(embedded.start)
    evidence = await embedded.check()
    assert {crawl.status for crawl in evidence.crawls} == {"completed"}
    assert sum(crawl.counters["completed"] for crawl in evidence.crawls) == 80


async def test_x44_x9_a_page_in_flight_at_three_deaths_is_given_up(embedded: Embedded) -> None:
    path = await embedded.post("h0.test", 7)
    embedded.origin.hold_next("3")
    for life in (1, 2, 3):
        await embedded.asked(f"{path}3", life)
        await asyncio.to_thread(embedded.kill)
        await asyncio.to_thread(embedded.start)
    evidence = await embedded.check()
    (given_up,) = (url for url in evidence.urls if url.url.endswith(f"{path}3"))
    assert given_up.status == "errored"
    assert embedded.origin.count(f"{path}3") == 3


async def test_x44_a_second_process_on_the_folder_is_refused_and_harms_nothing(embedded: Embedded) -> None:
    path = await embedded.post("h0.test", 15)
    await embedded.asked(f"{path}2")
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli", "serve", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, **embedded.cluster.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "Another process is using" in second.stderr
    await embedded.check()
    assert embedded.origin.count(f"{path}2") == 1
