"""`crawl worker`: Celery processes around the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable

from celery import Celery, signals
from celery.utils.dispatch import Signal

from crawler.model import Kind
from crawler.settings import Settings
from crawler.telemetry import configure_logging
from workers.celery_app import MESSAGE_VERSION, TICK_QUEUE, make_celery, queue_name
from workers.host import WorkerHost

log = logging.getLogger(__name__)


def make_worker(settings: Settings, kind: Kind) -> Celery:
    """A Celery application whose processes each own a WorkerHost."""
    celery = make_celery(settings)
    host = WorkerHost(settings, kind)
    _add_tasks(celery, host)
    _connect(host)
    return celery


def run_worker(settings: Settings, kind: Kind, processes: int) -> None:
    """Run worker processes of one kind until SIGTERM or SIGINT."""
    configure_logging(settings)
    worker = make_worker(settings, kind).Worker(
        pool="prefork",
        concurrency=processes,
        queues=[queue_name(kind), TICK_QUEUE],
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
    )
    worker.start()


def _add_tasks(celery: Celery, host: WorkerHost) -> None:
    @celery.task(name="crawl.pump")
    def pump(v: object = None, kind: object = None, at: object = None, **_: object) -> None:
        if v == MESSAGE_VERSION and kind in list(Kind):
            host.pump(Kind(str(kind)), rung_at=at if isinstance(at, float) else None)

    @celery.task(name="crawl.tick")
    def tick(v: object = None, **_: object) -> None:
        if v == MESSAGE_VERSION:
            host.tick()


def _connect(host: WorkerHost) -> None:
    """Open and close the host with its process."""
    handlers: list[tuple[Signal, Callable[[], None]]] = [
        (signals.worker_process_init, host.open),
        (signals.worker_process_shutdown, host.close),
        (signals.worker_shutting_down, host.announce_stop),
    ]
    for signal, action in handlers:

        def handle(action: Callable[[], None] = action, **_: object) -> None:
            action()

        signal.connect(handle, weak=False)
