"""The process that sends ticks. It knows nothing of the crawler, and loads nothing of it."""

from __future__ import annotations

from crawler.settings import Settings
from crawler.telemetry import configure_logging
from workers.celery_app import make_celery


def run_scheduler(settings: Settings) -> None:
    """Send a tick every few seconds until SIGTERM or SIGINT. A second scheduler does no harm."""
    configure_logging(settings)
    celery = make_celery(settings)
    celery.Beat(
        # In memory: there is nothing about a tick to remember over a restart.
        scheduler_cls="celery.beat:Scheduler",
        max_interval=1,
        loglevel=settings.log_level,
        quiet=True,
    ).run()
