"""The composition root: reads the settings once and builds everything. Nothing else asks in which mode it runs."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from crawler.address_turns import AddressTurns
from crawler.ai.client import ModelClient
from crawler.ai.extraction import JsonExtractor
from crawler.ai.providers import Providers
from crawler.doorbell import Doorbell, LocalDoorbell
from crawler.errors import ConfigurationError, CrawlError, Unavailable
from crawler.extract.converter import Converter
from crawler.extract.documents import Documents
from crawler.fetch import chromium
from crawler.fetch.egress import Egress
from crawler.fetch.http import HttpFetcher
from crawler.fetch.proxy import EgressProxy
from crawler.fetch.renderer import Renderer
from crawler.freshness import Freshness
from crawler.jobs import Jobs
from crawler.maintenance import Maintenance
from crawler.memory import Memory
from crawler.metrics import Metrics
from crawler.model import Kind
from crawler.page import PagePipeline, Parts
from crawler.politeness import Circuit
from crawler.pump import Pump
from crawler.robots_cache import RobotsCache
from crawler.runs import Runs
from crawler.schedules import Limits
from crawler.scheduling import Scheduling
from crawler.service import CrawlService
from crawler.settings import Settings
from crawler.store import migrate
from crawler.store.addresses import Addresses
from crawler.store.admission import Admission
from crawler.store.changes import Changes
from crawler.store.circuits import Circuits
from crawler.store.clock import ClockJumps
from crawler.store.continuations import Continuations
from crawler.store.copies import Copies
from crawler.store.crawls import Crawls
from crawler.store.database import Database, wall_clock_ms
from crawler.store.finish import Finisher
from crawler.store.frontier import Frontier, Politeness
from crawler.store.hosts import Hosts
from crawler.store.queue import Queues
from crawler.store.records import Records
from crawler.store.retention import BatchLimits, Retention
from crawler.store.robots import RobotsFiles
from crawler.store.schedule_runs import ScheduleRuns
from crawler.store.schedules import Schedules
from crawler.store.secrets import KeyRing, Secrets
from crawler.store.spend import Spend
from crawler.turns import Turns

log = logging.getLogger(__name__)


class Runtime:
    """Everything one process needs, opened and closed in order: `async with Runtime(settings) as runtime`."""

    def __init__(
        self,
        settings: Settings,
        *,
        doorbell: Doorbell | None = None,
        also_allow_host: str | None = None,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """`doorbell` rings other processes; None: there are none. `also_allow_host` may be crawled wherever it is,
        because the person at the keyboard typed it. `clock_ms` is the clock of a SQLite database."""
        self.settings = settings
        self.metrics = Metrics()
        self._local = LocalDoorbell()
        self._doorbell = doorbell or self._local
        #: Kinds of pages that this process has stopped working on, each with the reason.
        self.stopped: dict[Kind, str] = {}
        self._exit = AsyncExitStack()
        self._lock: IO[str] | None = None
        retention_ms = settings.retention_seconds * 1000
        default_delay_ms = round(settings.default_delay * 1000)
        lease_ms = round(settings.lease_seconds * 1000)

        self.database = Database(settings.database, pool_size=settings.database_pool_size, clock=clock_ms)
        self.queues = Queues(self.database, lease_ms=lease_ms)
        hosts = Hosts(self.database, default_delay_ms=default_delay_ms)
        ring = KeyRing.load(settings)
        secrets = Secrets(self.database, ring)
        self._crawls = Crawls(
            self.database,
            hosts,
            secrets,
            max_crawl_ms=settings.max_crawl_seconds * 1000,
            retention_ms=retention_ms,
        )
        self._frontier = Frontier(
            self.database,
            Politeness(default_delay_ms, settings.host_concurrency),
            lease_ms=lease_ms,
        )
        admission = Admission(
            self.database, max_sitemaps=settings.max_sitemaps, max_held_pages=settings.max_held_pages
        )
        circuits = Circuits(self.database, Circuit.load(settings))
        self._finisher = Finisher(self.database, hosts, admission, circuits, retention_ms=retention_ms)
        robots_files = RobotsFiles(self.database)

        self._egress = Egress(settings, also_allow_host=also_allow_host)
        gap_seconds = settings.address_gap_seconds
        addresses = Addresses(self.database, gap_ms=round(gap_seconds * 1000))
        address_turns = AddressTurns(addresses, self._egress, gap_seconds=gap_seconds)
        self._turns = Turns(self._frontier, hosts, address_turns, lease_seconds=settings.lease_seconds)
        self._fetcher = HttpFetcher(self._egress, settings, on_sent=self._turns.note_sent)
        self._memory = Memory(settings)
        self._renderer = Renderer(
            EgressProxy(self._egress, settings),
            settings,
            on_start=self.metrics.note_browser_start,
            is_memory_short=lambda: bool(self._memory.shortage()),
        )
        self._converter = Converter(settings)
        self._documents = Documents(settings)
        providers = Providers.load(settings)
        self._models = ModelClient(settings)
        spend = Spend(
            self.database,
            max_tokens=settings.ai_max_crawl_tokens,
            max_cost=round(settings.ai_max_crawl_cost * 1_000_000),
        )
        robots = RobotsCache(robots_files, self._fetcher, settings)
        parts = Parts(
            settings=settings,
            turns=self._turns,
            hosts=hosts,
            jobs=Jobs(self._crawls, secrets),
            robots=robots,
            freshness=Freshness(Copies(self.database), settings),
            fetcher=self._fetcher,
            converter=self._converter,
            documents=self._documents,
            extractor=JsonExtractor(settings, providers, self._models, spend),
            renderer=self._renderer,
            metrics=self.metrics,
        )
        self._pipeline = PagePipeline(parts, rng=random.Random(), wall_clock=lambda: datetime.now(UTC))  # noqa: S311
        self._pumps = {kind: self._make_pump(kind) for kind in Kind}
        self.service = CrawlService(
            settings=settings,
            policy=self._egress.policy,
            crawls=self._crawls,
            secrets=secrets,
            records=Records(self.database, page_bytes=settings.page_bytes),
            hosts=hosts,
            addresses=address_turns,
            robots=robots,
            doorbell=self._doorbell,
            providers=providers,
        )
        self.scheduling = Scheduling(
            settings=settings,
            database=self.database,
            schedules=Schedules(self.database, ring, max_per_account=settings.max_schedules),
            runs=ScheduleRuns(
                self.database,
                self._crawls,
                self.service.quotas,
                Limits.load(settings),
                retention_ms=retention_ms,
            ),
            crawls=self._crawls,
            service=self.service,
            doorbell=self._doorbell,
        )
        self.maintenance = Maintenance(
            settings,
            self._crawls,
            self._frontier,
            self._finisher,
            addresses,
            circuits,
            robots_files,
            Retention(self.database, BatchLimits(settings.expiry_batch_rows, settings.expiry_batch_ms)),
            ClockJumps(self.database, lease_ms=lease_ms, longest_wait_ms=_longest_wait_ms(settings)),
            self.scheduling,
            self._doorbell,
        )
        self.runs = Runs(
            settings=settings,
            quotas=self.service.quotas,
            changes=Changes(self.database),
            continuations=Continuations(self.database, self._crawls, secrets, admission),
            doorbell=self._doorbell,
        )

    def _make_pump(self, kind: Kind) -> Pump:
        slots = self.settings.static_slots
        if kind is Kind.RENDER:
            # While so many load, others are at rest before they are read, converted or stored. With fewer, places
            # to load in stay empty: twice as many are a tenth slower.
            slots = self.settings.render_slots * 5 // 2
        pump = Pump(
            kind,
            slots=slots,
            frontier=self._frontier,
            finisher=self._finisher,
            pipeline=self._pipeline,
            doorbell=self._doorbell,
            metrics=self.metrics,
            settings=self.settings,
            hindrance=lambda: self._hindrance(kind),
        )
        self._local.on_ring(kind, pump.ring)
        return pump

    def _hindrance(self, kind: Kind) -> str:
        """Why this process can begin no page of this kind just now; "" when it can."""
        return self._memory.shortage() or (self._renderer.hindrance if kind is Kind.RENDER else "")

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.database.close)
            if self.settings.embedded and self.database.is_sqlite:
                self._lock = self._lock_data()
                stack.callback(self._lock.close)
                # Embedded, this process is the only one that migrates, and the only one that can hold leases.
                await migrate.upgrade_async(self.settings.database)
                await self._crawls.expire_leases()
            stack.callback(self._egress.close)
            await stack.enter_async_context(self._fetcher)
            stack.push_async_callback(self._turns.close)
            await stack.enter_async_context(self._renderer)
            stack.push_async_callback(self._converter.close)
            stack.push_async_callback(self._documents.close)
            stack.push_async_callback(self._models.close)
            stack.push_async_callback(self.service.close)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts of the pages that this process is fetching right now."""
        return tuple(sorted({host for pump in self._pumps.values() for host in pump.hosts}))

    async def work(self, stop: asyncio.Event) -> None:
        """Do everything in this process, until `stop` is set: pumps of both kinds and the tick."""
        async with asyncio.TaskGroup() as group:
            for kind in Kind:
                group.create_task(self._pump_until(kind, stop), name=f"pump-{kind}")
            group.create_task(self._tick_until(stop), name="tick")
            await stop.wait()
            for pump in self._pumps.values():
                pump.ring()

    async def pump(self, kind: Kind, budget_seconds: float, stop: asyncio.Event) -> float | None:
        """One bounded run of a pump; see `Pump.run`. Raises ConfigurationError when the process has to be stopped."""
        return await self._pumps[kind].run(budget_seconds, stop)

    async def is_due(self, kind: Kind) -> bool:
        """Whether a URL of this kind may be fetched now. Raises Unavailable."""
        return await self._frontier.is_due(kind)

    async def stop_pumps(self) -> None:
        """Let pages in flight finish for a while, then hand them back."""
        await asyncio.gather(*(pump.stop(self.settings.stop_seconds) for pump in self._pumps.values()))

    async def ready(self) -> Mapping[str, str]:
        """Whether each part does its work: "ok", or what is wrong in one sentence."""
        parts = {"database": "ok", "schema": "ok", "broker": await self._doorbell.check()}
        try:
            version = await migrate.current(self.database)
            if version != migrate.head():
                parts["schema"] = f"version {version or 'none'}, needs {migrate.head()}: run `crawl migrate`"
        except CrawlError as error:
            parts["database"] = error.message
            parts["schema"] = "unknown"
        if self.settings.embedded:
            parts["memory"] = self._memory.shortage() or "ok"
            # To ask for a browser is to start one.
            parts["browser"] = await self.check_browser() if parts["memory"] == "ok" else "unknown"
        return parts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an operator has allowed and should not forget."""
        if chromium.has_sandbox(self.settings):
            return ()
        return ("Chromium runs without its sandbox (CRAWL_ALLOW_UNSANDBOXED)",)

    async def check_browser(self) -> str:
        """ "ok", or why this process cannot render."""
        if Kind.RENDER in self.stopped:
            return self.stopped[Kind.RENDER]
        try:
            await self._renderer.check()
        except CrawlError as error:
            return error.message
        return "ok"

    async def _pump_until(self, kind: Kind, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                due = await self._pumps[kind].run(self.settings.pump_seconds, stop)
            except ConfigurationError as error:
                log.critical("no more %s pages in this process: %s", kind, error.message)
                self.stopped[kind] = error.message
                break
            except Exception:
                log.exception("the %s pump failed; it goes on", kind)
                due = 1.0
            if not stop.is_set() and (due is None or due > 0):
                await self._pumps[kind].wait_for_ring(min(due or 1.0, 1.0))
        await self._pumps[kind].stop(self.settings.stop_seconds)

    async def _tick_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.maintenance.tick()
            except Unavailable as error:
                log.warning("no tick: %s", error.message)
            except Exception:
                log.exception("the tick failed; it goes on")
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.tick_seconds):
                    await stop.wait()

    def _lock_data(self) -> IO[str]:
        """Refuse to be the second process on one SQLite file: its leases would be taken from it."""
        path = Path(self.settings.database.removeprefix("sqlite:///") + ".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            message = (
                f"Another process is using {path.parent}; stop it, or set CRAWL_DATA_DIR to another folder"
            )
            raise ConfigurationError(message) from error
        return file


def _longest_wait_ms(settings: Settings) -> int:
    """More than any rule lets a host wait: several requests may queue for it, each waiting its interval."""
    longest = max(settings.retry_after_cap_seconds, settings.max_crawl_delay, settings.default_delay, 60.0)
    return round(longest * 1000) * 2 + 600_000
