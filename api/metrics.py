"""`/metrics`: this process's counters and the work in the database, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from api.deps import ServicesNow
from crawler.errors import Forbidden, Unavailable
from crawler.store.accounts import Caller, Scope
from crawler.store.queue import Queue

router = APIRouter()


async def _require_operator(request: Request) -> None:
    """Raise Forbidden for tokens of less than the scope `admin`: the numbers are of all accounts together."""
    caller: Caller = request.state.caller
    if caller.scope is not Scope.ADMIN:
        raise Forbidden


@router.get("/metrics", include_in_schema=False)
async def metrics(services: ServicesNow, _: Annotated[None, Depends(_require_operator)]) -> Response:
    """For a token of the scope `admin`. Without a database there are only the counters."""
    queues: Sequence[Queue] | None
    try:
        queues = await services.runtime.queues.read()
    except Unavailable:
        queues = None
    text = generate_latest(services.runtime.metrics.registry) + generate_latest(_measure(queues))
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})


def _measure(queues: Sequence[Queue] | None) -> CollectorRegistry:
    """What the database says now; not kept, so that nothing old is ever shown."""
    registry = CollectorRegistry()

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=registry)

    gauge("crawl_database_up", "Whether the database answers.").set(queues is not None)
    crawls = gauge("crawl_running_crawls", "Crawls that run.", "kind")
    pages = gauge("crawl_open_pages", "Pages that are queued or leased.", "kind", "state")
    hosts = gauge("crawl_waiting_hosts", "Hosts that may have something queued.", "kind")
    late = gauge("crawl_late_seconds", "How long a host has been due, of all the longest.", "kind")
    silent = gauge(
        "crawl_silent_seconds", "How long a lease has not been extended, of all the longest.", "kind"
    )
    for queue in queues or ():
        crawls.labels(queue.kind).set(queue.running_crawls)
        pages.labels(queue.kind, "queued").set(queue.queued_pages)
        pages.labels(queue.kind, "leased").set(queue.leased_pages)
        hosts.labels(queue.kind).set(queue.waiting_hosts)
        late.labels(queue.kind).set(queue.late_seconds)
        silent.labels(queue.kind).set(queue.silent_seconds)
    return registry
