"""Who held the lease of a page when, by the record of every change. Several crawls may have the same page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from tests.faults.evidence import Change, Evidence, Url
from tests.faults.origin import Request

#: Between the moment of a change and that of a request, which other clocks of this machine tell.
TOLERANCE_SECONDS = 0.02

Place = tuple[str, str]


def place(url: Url) -> Place:
    """Host and path."""
    parts = urlsplit(url.url)
    return parts.hostname or "", parts.path


def changes_by_url(evidence: Evidence) -> Mapping[int, list[Change]]:
    """By the id of the row."""
    by_url: dict[int, list[Change]] = defaultdict(list)
    for change in evidence.changes:
        by_url[change.url_id].append(change)
    return by_url


class Leases:
    """The pages of all crawls by place, and the requests for them."""

    def __init__(self, evidence: Evidence) -> None:
        self.changes = changes_by_url(evidence)
        self.rows: dict[Place, list[Url]] = defaultdict(list)
        for url in evidence.urls:
            if url.role == "page":
                self.rows[place(url)].append(url)
        self._requests: dict[Place, list[Request]] = defaultdict(list)
        for request in evidence.requests:
            self._requests[request.host, request.path].append(request)

    def requests_at(self, where: Place) -> Sequence[Request]:
        """In the order in which they were answered."""
        return self._requests.get(where, ())

    def holders(self, request: Request) -> list[Url]:
        """The rows of this page whose lease the sender held at that moment.

        The lease of a row that was cancelled counts as held from then on: how long is for I11 to say.
        """
        return [url for url in self.rows.get((request.host, request.path), ()) if self._is_held(url, request)]

    def _is_held(self, url: Url, request: Request) -> bool:
        held = False
        for change in self.changes[url.id]:
            if change.at > request.at + TOLERANCE_SECONDS:
                break
            if change.became == "leased":
                held = change.actor == request.actor
            elif change.became != "cancelled" and change.at < request.at - TOLERANCE_SECONDS:
                held = False
        return held
