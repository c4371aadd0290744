"""Waiting for a crawl on a server, and what it came to."""

from __future__ import annotations

import time

from cli.api_client import ApiClient
from cli.progress import Display, Snapshot
from cli.summary import Summary
from crawler.errors import Unavailable
from crawler.model import CrawlStatus, UrlStatus

#: The first polls are quick, for small crawls; later ones leave the server alone.
_FIRST_POLL_SECONDS = 0.25
_MAX_POLL_SECONDS = 5.0
_POLL_GROWTH = 1.3
#: A server that is being restarted comes back within this time.
_PATIENCE_SECONDS = 60.0


def wait_for_end(client: ApiClient, crawl_id: str, display: Display) -> None:
    """Return when the crawl has ended. Raises Unavailable when the server stays away."""
    poll_seconds = _FIRST_POLL_SECONDS
    answered = time.monotonic()
    while True:
        try:
            crawl = client.read(crawl_id)
        except Unavailable:
            if time.monotonic() - answered > _PATIENCE_SECONDS:
                raise
        else:
            answered = time.monotonic()
            display.show(Snapshot(crawl["finished"], crawl["total"]))
            if crawl["status"] != CrawlStatus.RUNNING:
                return
        time.sleep(poll_seconds)
        poll_seconds = min(poll_seconds * _POLL_GROWTH, _MAX_POLL_SECONDS)


def summarize(
    client: ApiClient, crawl_id: str, *, elapsed_seconds: float | None, output: str | None
) -> Summary:
    """The crawl as it is now."""
    crawl = client.read(crawl_id, limit=1)
    receipt = client.receipt(crawl_id)
    reasons = receipt["reasons"]
    return Summary(
        crawl_id=crawl_id,
        url=crawl["records"][0]["url"] if crawl["records"] else "",
        status=CrawlStatus(crawl["status"]),
        receipt={
            status: _with_rest(receipt[status], reasons.get(status, {}))
            for status in UrlStatus
            if status is not UrlStatus.LEASED
        },
        elapsed_seconds=elapsed_seconds,
        browser_seconds=crawl["browserSecondsUsed"],
        output=output,
        error=crawl.get("error"),
    )


def _with_rest(count: int, reasons: dict[str, int]) -> dict[str, int]:
    """Records without a reason are counted under ""."""
    rest = count - sum(reasons.values())
    return {**reasons, "": rest} if rest else reasons
