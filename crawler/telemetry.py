"""Log lines on stderr: for people (`console`) or for machines (`json`), from every library alike."""

from __future__ import annotations

import logging
import sys

import structlog

from crawler.settings import Settings

#: Libraries that say at INFO what only matters when they are debugged.
_CHATTY = ("alembic", "celery.app.trace", "celery.worker.strategy", "celery.beat", "httpx", "kombu")

#: Libraries that at DEBUG write down what they carry: the titles of pages in SQL, the headers of requests.
_INDISCREET = ("aiosqlite", "asyncpg", "httpcore")


def configure_logging(settings: Settings) -> None:
    """Set up the root logger of this process. Call it once, at start-up; calling it again replaces the set-up.

    Values are escaped by the renderer, so a line break in a crawled title cannot forge a log line.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor
    if settings.log_format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=True)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _one_line, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in _INDISCREET:
        logging.getLogger(name).setLevel(logging.INFO)
    if settings.log_level != "DEBUG":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)


def _one_line(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape control characters of the message: they may come from a crawled page."""
    message = str(event.get("event", ""))
    if not message.isprintable():
        event["event"] = message.encode("unicode_escape").decode()
    return event
