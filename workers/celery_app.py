"""Celery, set up so that the broker is a doorbell and nothing more (`docs/adr/0003-doorbell.md`)."""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from crawler.model import Kind
from crawler.settings import Settings
from workers import transport

#: Workers ignore messages of versions that they do not know, so that old and new ones can run side by side.
MESSAGE_VERSION = 1
TICK_QUEUE = "crawl.tick"

_SOCKET = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 15,
    "retry_on_timeout": False,
    "visibility_timeout": 3600,
    "global_keyprefix": "crawl:",
    "max_retries": 1,
    "interval_start": 0,
    "interval_max": 0.5,
}


def queue_name(kind: Kind) -> str:
    """The queue whose messages wake the pumps of this kind."""
    return f"crawl.{kind.value}"


def make_celery(settings: Settings) -> Celery:
    """A Celery application for these settings. Nothing connects yet."""
    transport.use_for_redis()
    celery = Celery("crawl", broker=settings.broker_url, set_as_current=False)
    celery.conf.update(
        # Hints only: acknowledged when taken, never redelivered, no results, no pickle, no remote control.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        event_serializer="json",
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        task_create_missing_queues=False,
        # A routing key of its own for each: with the default one every message would go to all of them.
        task_queues=[
            Queue(name, routing_key=name) for name in (*(queue_name(kind) for kind in Kind), TICK_QUEUE)
        ],
        task_default_queue=TICK_QUEUE,
        worker_prefetch_multiplier=1,
        # A pump lasts `pump_seconds`; one that does not come back is killed, its leases run out by themselves.
        task_soft_time_limit=settings.pump_seconds + 90,
        task_time_limit=settings.pump_seconds + 120,
        task_publish_retry=False,
        broker_transport_options=_SOCKET,
        broker_connection_timeout=2,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # A Redis that refuses writes (it is full, or a replica) is away like any other: by default it ends the worker.
        broker_channel_error_retry=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_max_memory_per_child=500_000,
        worker_proc_alive_timeout=60,
        beat_schedule={
            "tick": {
                "task": "crawl.tick",
                "schedule": settings.tick_seconds,
                "kwargs": {"v": MESSAGE_VERSION},
                # Only the newest tick matters.
                "options": {"queue": TICK_QUEUE, "expires": max(settings.tick_seconds, 1.0)},
            }
        },
    )
    return celery
