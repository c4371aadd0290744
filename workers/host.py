"""What lives in one worker process besides Celery: an event loop in a thread of its own, and the runtime on it.

Opened after the fork, closed in order at shutdown. A Celery task only asks it for one pump run.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from billiard import current_process

from crawler.errors import ConfigurationError, Unavailable
from crawler.model import Kind
from crawler.runtime import Runtime
from crawler.settings import Settings
from workers.celery_app import make_celery
from workers.celery_doorbell import CeleryDoorbell
from workers.exposition import expose

log = logging.getLogger(__name__)

_OPEN_SECONDS = 60
_LONGEST_LAG_SECONDS = 3600
#: Looks in a row that find due URLs and nobody at work before this process goes to work without a ring.
_LOOKS = 3


class WorkerHost:
    """One per worker process; made before the fork, opened after it.

    The parent holds the write end of a pipe and never writes: when it closes it, or dies by whatever means, every
    child reads the end of the file and stops. A signal would not reach the children of a warm Celery shutdown.
    """

    def __init__(self, settings: Settings, kind: Kind) -> None:
        self._settings = settings
        self._kind = kind
        self._stop_reader, self._stop_writer = os.pipe()
        self._runtime: Runtime | None = None
        self._doorbell: CeleryDoorbell | None = None
        self._thread: threading.Thread | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._end_exposition: Callable[[], None] = lambda: None
        self._pumping: set[Kind] = set()
        self._looks = 0
        self._unrung: asyncio.Task[None] | None = None

    def announce_stop(self) -> None:
        """In the parent: let every child know that it is time to stop."""
        if self._stop_writer >= 0:
            os.close(self._stop_writer)
            self._stop_writer = -1

    def open(self) -> None:
        """In the child: start the loop and open the runtime on it."""
        self.announce_stop()
        # What was made before the fork is shared with the parent until somebody writes to it, as the collector would.
        gc.freeze()
        # Not before the fork: siblings would share one epoll instance.
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crawl-loop", daemon=True)
        self._thread.start()
        self._call(self._open(), timeout_seconds=_OPEN_SECONDS)

    def close(self) -> None:
        """In the child: hand back what is in flight and close everything."""
        if self._thread is None:
            return
        self._call(self._close(), timeout_seconds=self._settings.stop_seconds + 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._end_exposition()

    def pump(self, kind: Kind, *, rung_at: float | None) -> None:
        """One pump run. Raises SoftTimeLimitExceeded through, after having stopped the run.

        `rung_at` is when somebody rang, in seconds since the epoch by the other's clock; None: they do not say.
        """
        assert self._runtime is not None
        lag_seconds = -1.0 if rung_at is None else time.time() - rung_at
        # Clocks differ, and anybody may have written the message: what cannot be is not counted.
        if 0 <= lag_seconds <= _LONGEST_LAG_SECONDS:
            self._runtime.metrics.note_ring(lag_seconds)
        self._call(self._pump(kind), timeout_seconds=None)

    def tick(self) -> None:
        """The chores, once."""
        assert self._runtime is not None
        self._call(self._tick(), timeout_seconds=60)

    async def _open(self) -> None:
        self._loop.add_reader(self._stop_reader, self._on_stop)
        self._doorbell = CeleryDoorbell(make_celery(self._settings))
        self._runtime = await Runtime(self._settings, doorbell=self._doorbell).__aenter__()
        if self._settings.metrics_port:
            # billiard numbers the processes of a worker; one in the place of another has its number.
            number = getattr(current_process(), "index", 0)
            self._end_exposition = expose(self._runtime.metrics, self._settings, number)
        self._ticker = asyncio.create_task(self._tick_regularly(), name="tick")

    async def _close(self) -> None:
        self._stop.set()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self._unrung is not None:
            await asyncio.gather(self._unrung, return_exceptions=True)
        if self._runtime is not None:
            await self._runtime.stop_pumps()
            await self._runtime.__aexit__()
        if self._doorbell is not None:
            await self._doorbell.close()

    def _on_stop(self) -> None:
        self._loop.remove_reader(self._stop_reader)
        self._stop.set()

    async def _tick_regularly(self) -> None:
        """While all workers are busy pumping nobody takes the scheduler's ticks, so each process runs its own too,
        more rarely."""
        while True:
            await asyncio.sleep(self._settings.tick_seconds * 2)
            await self._tick()
            await self._look()

    async def _look(self) -> None:
        """The doorbell may be out of order for as long as it likes: go to work without it, only later."""
        assert self._runtime is not None
        try:
            is_due = self._kind not in self._pumping and await self._runtime.is_due(self._kind)
        except Unavailable:
            return  # the tick has said so
        self._looks = self._looks + 1 if is_due else 0
        if self._looks >= _LOOKS:
            log.warning("there are due %s pages and nobody rings; going to work all the same", self._kind)
            self._looks = 0
            self._unrung = asyncio.create_task(self._pump(self._kind), name="pump-unrung")

    async def _pump(self, kind: Kind) -> None:
        """One run; a ring during a run that nobody rang for says nothing new."""
        assert self._runtime is not None
        if kind in self._pumping:
            return
        self._pumping.add(kind)
        try:
            await self._runtime.pump(kind, self._settings.pump_seconds, self._stop)
        except ConfigurationError as error:
            log.critical("this worker cannot do its work and stops: %s", error.message)
            os.kill(os.getppid(), signal.SIGTERM)
        finally:
            self._pumping.discard(kind)

    async def _tick(self) -> None:
        assert self._runtime is not None
        try:
            await self._runtime.maintenance.tick()
        except Unavailable as error:
            log.warning("no tick: %s", error.message)
        except Exception:
            log.exception("the tick failed; it goes on")

    def _call(self, work: Coroutine[Any, Any, Any], *, timeout_seconds: float | None) -> None:
        """Run on the loop and wait. Whatever ends the waiting (a time limit) ends the work, not the loop."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            future.result(timeout_seconds)
        except BaseException:
            future.cancel()
            raise
