"""Rings over Redis: one small Celery message, "look into the database"."""

from __future__ import annotations

import asyncio
import logging
import time

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from crawler.model import Kind
from workers.celery_app import MESSAGE_VERSION, queue_name

log = logging.getLogger(__name__)

#: A ring within so short a time after the last one says nothing new.
_DEDUPLICATE_SECONDS = 0.2
#: Nobody waits longer than this for the broker, least of all a POST.
_SEND_SECONDS = 2.5
#: A message that nobody took by then is dropped: the tick rings again while there is work.
_EXPIRES_SECONDS = 30


class CeleryDoorbell:
    """Rings the workers of all machines. A ring that fails is logged and forgotten: the tick repeats it."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._last_rung: dict[Kind, float] = {}
        self._sending: dict[Kind, asyncio.Task[None]] = {}

    async def ring(self, kind: Kind) -> None:
        """Say that URLs of this kind may be due. Returns at once: the message is sent in the background."""
        now = time.monotonic()
        sending = self._sending.get(kind)
        if sending is not None and not sending.done():
            return
        if now - self._last_rung.get(kind, -1.0) < _DEDUPLICATE_SECONDS:
            return
        self._last_rung[kind] = now
        self._sending[kind] = asyncio.create_task(self._send(kind), name=f"ring-{kind}")

    async def check(self) -> str:
        """ "ok", or that the broker does not answer."""
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await asyncio.to_thread(self._ping)
        except (TimeoutError, OSError, redis.RedisError, OperationalError):
            return "the broker does not answer; crawls are accepted and start when it is back"
        return "ok"

    async def close(self) -> None:
        """Wait for rings under way."""
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def _send(self, kind: Kind) -> None:
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await asyncio.to_thread(self._publish, kind)
        except (TimeoutError, OSError, redis.RedisError, OperationalError) as error:
            log.warning("the %s doorbell is out of order, the tick will ring again: %r", kind, error)

    def _publish(self, kind: Kind) -> None:
        self._celery.send_task(
            "crawl.pump",
            kwargs={"v": MESSAGE_VERSION, "kind": kind.value, "at": time.time()},
            queue=queue_name(kind),
            expires=_EXPIRES_SECONDS,
            retry=False,
            ignore_result=True,
        )

    def _ping(self) -> None:
        with self._celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=0, timeout=2)
