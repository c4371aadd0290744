"""Where a worker process shows what it counts."""

from __future__ import annotations

import logging
from collections.abc import Callable

from prometheus_client import start_http_server

from crawler.metrics import Metrics
from crawler.settings import Settings

log = logging.getLogger(__name__)


def expose(metrics: Metrics, settings: Settings, number: int) -> Callable[[], None]:
    """Serve the metrics of the worker's process `number` (from 0) at `metrics_port` + `number`, in a thread.

    Returns how to end it. A port that is taken costs a warning and not the worker.
    """
    port = settings.metrics_port + number
    try:
        server, thread = start_http_server(port, settings.metrics_host, metrics.registry)
    except (OSError, OverflowError) as error:
        log.warning("no metrics at %s:%d: %s", settings.metrics_host, port, error)
        return lambda: None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
