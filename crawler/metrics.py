"""What one process counts while it works, for Prometheus. No label names a URL, a host, a crawl or an account."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from crawler.model import ErrorCode, Kind, Outcome, Role

#: Upper bounds in seconds: from a page of the next rack to the longest time-outs.
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90)
_CODES = frozenset(ErrorCode)


class Metrics:
    """The counters of one process, in a `registry` of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._pages = Counter(
            "crawl_pages",
            "Pages that ended; with status queued: handed back for another try.",
            ("kind", "status", "code"),
            registry=registry,
        )
        self._fetch = Histogram(
            "crawl_fetch_seconds", "Time that a page took to arrive.", buckets=_BUCKETS, registry=registry
        )
        self._render = Histogram(
            "crawl_render_seconds", "Time that a page was open.", buckets=_BUCKETS, registry=registry
        )
        self._browsers = Counter("crawl_browser_starts", "Browsers that were started.", registry=registry)
        self._paused = Gauge(
            "crawl_paused",
            "1: this process begins no pages, for want of memory or of a browser.",
            ("kind",),
            registry=registry,
        )
        for kind in Kind:
            self.note_pause(kind, is_paused=False)
        self._rings = Histogram(
            "crawl_doorbell_lag_seconds",
            "Time from a ring to the work it asks for, as far as the machines' clocks agree.",
            buckets=_BUCKETS,
            registry=registry,
        )

    def note_outcome(self, outcome: Outcome) -> None:
        """A lease has ended. Only pages count; a reason that is no error code is not shown, there may be many."""
        if outcome.lease.role is Role.PAGE:
            code = outcome.reason if outcome.reason in _CODES else ""
            self._pages.labels(outcome.lease.kind, outcome.status, code).inc()

    def note_fetch(self, seconds: float) -> None:
        """A page has arrived without a browser."""
        self._fetch.observe(seconds)

    def note_render(self, seconds: float) -> None:
        """A page has been rendered."""
        self._render.observe(seconds)

    def note_browser_start(self) -> None:
        """A browser has been started: the first one, or one in the place of another."""
        self._browsers.inc()

    def note_pause(self, kind: Kind, *, is_paused: bool) -> None:
        """Pages of a kind are not begun any more, or again."""
        self._paused.labels(kind).set(is_paused)

    def note_ring(self, lag_seconds: float) -> None:
        """Work begins that was rung for so long ago."""
        self._rings.observe(lag_seconds)
