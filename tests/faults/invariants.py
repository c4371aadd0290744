"""The invariants of a crawl under faults, as a pure function over the evidence. Each finding begins with its id.

I1  every URL of a crawl is there once and ends once           I7  an accepted crawl is in the database
I2  every crawl ends, and its counters equal a recount         I8  no secret lies about
I3  only the holder of the last lease finishes a URL           I10 a crawl never exceeds its limit
I4  a fetch per lease at most, three counted attempts          I11 a cancelled crawl is left alone
I5  a host is left alone for its interval                      I12 what a client has read does not un-happen
I6  no connection to a forbidden address

I9 (no process is left behind) is checked where the processes are. I13 to I16 are in `recrawls.py`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from operator import attrgetter
from typing import Any

from tests.faults.evidence import Change, Evidence, Walk
from tests.faults.leases import TOLERANCE_SECONDS, Leases, changes_by_url
from tests.faults.origin import Request
from tests.faults.recrawls import violations_of_recrawls

TERMINAL = frozenset({"completed", "errored", "disallowed", "skipped", "cancelled"})
_MAX_ATTEMPTS = 3
_CANCEL_SECONDS = 15.0


def violations(evidence: Evidence) -> list[str]:
    """Everything that should not have happened."""
    return [
        *_urls_end_once(evidence),
        *_crawls_end_and_add_up(evidence),
        *_fetches(evidence),
        *_intervals(evidence),
        *(["I6 the forbidden address was connected to"] if evidence.canary_hits else []),
        *(f"I7 {gone} was accepted and is gone" for gone in evidence.accepted - _ids(evidence)),
        *(f"I8 a secret is in {place}" for place in evidence.leaks),
        *_cancelled_are_left_alone(evidence),
        *_histories(evidence),
        *violations_of_recrawls(evidence),
        *(f"API {answer}" for answer in evidence.bad_answers),
    ]


def _ids(evidence: Evidence) -> frozenset[str]:
    return frozenset(crawl.id for crawl in evidence.crawls)


def _urls_end_once(evidence: Evidence) -> Iterator[str]:
    names = Counter((url.crawl_id, url.role, url.url) for url in evidence.urls)
    yield from (f"I1 {key} is there {count} times" for key, count in names.items() if count > 1)
    yield from (f"I1 {url.url} is still {url.status}" for url in evidence.urls if url.status not in TERMINAL)
    for url_id, changes in changes_by_url(evidence).items():
        endings = [change for change in changes if change.became in TERMINAL]
        if len(endings) > 1:
            yield f"I1 URL {url_id} ended {len(endings)} times"
        if any(change.was in TERMINAL for change in changes):
            yield f"I3 URL {url_id} changed after its end"
        yield from _finished_by_their_holder(url_id, changes)


def _finished_by_their_holder(url_id: int, changes: list[Change]) -> Iterator[str]:
    """Others may only take a lease back, or end the URL with its crawl."""
    holder = ""
    for change in changes:
        if change.became == "leased":
            if change.was != "queued":
                yield f"I3 URL {url_id} was leased while {change.was}"
            holder = change.actor
        elif change.was == "leased" and change.reason != "worker_lost" and change.became != "cancelled":
            if change.actor != holder:
                yield f"I3 URL {url_id}, leased by {holder}, was finished by {change.actor}"
        elif change.was == "queued" and change.became != "cancelled":
            yield f"I3 URL {url_id} went from queued to {change.became} without a lease"


def _crawls_end_and_add_up(evidence: Evidence) -> Iterator[str]:
    recount: dict[str, Counter[str]] = defaultdict(Counter)
    for url in evidence.urls:
        if url.role == "page":
            recount[url.crawl_id][url.status] += 1
    for crawl in evidence.crawls:
        if crawl.status == "running":
            yield f"I2 crawl {crawl.id} is still running"
        for status, number in crawl.counters.items():
            if number != recount[crawl.id][status]:
                yield f"I2 crawl {crawl.id} counts {number} {status}, there are {recount[crawl.id][status]}"
        fetched = sum(crawl.counters.get(status, 0) for status in ("completed", "errored", "disallowed"))
        if fetched > crawl.url_limit:
            yield f"I10 crawl {crawl.id} has {fetched} pages, its limit is {crawl.url_limit}"


def _fetches(evidence: Evidence) -> Iterator[str]:
    pages = Leases(evidence)
    for where, rows in pages.rows.items():
        leases = 0
        for url in rows:
            changes = pages.changes[url.id]
            mine = sum(change.became == "leased" for change in changes)
            given_back = sum(change.given_back for change in changes)
            if mine - given_back > _MAX_ATTEMPTS:
                yield f"I4 {url.url} had {mine - given_back} attempts"
            leases += mine
        fetched = len(pages.requests_at(where))
        if fetched > leases:
            yield f"I4 {rows[0].url} was fetched {fetched} times in {leases} leases"
        for request in pages.requests_at(where):
            if not pages.holders(request):
                yield f"I4 {request.actor} asked for {request.path} at {request.at:.3f} without a lease"


def _intervals(evidence: Evidence) -> Iterator[str]:
    by_host: dict[str, list[Request]] = defaultdict(list)
    for request in evidence.requests:
        by_host[request.host].append(request)
    for host, requests in by_host.items():
        interval = evidence.intervals.get(host, 0.0)
        for earlier, later in pairwise(sorted(requests, key=attrgetter("at"))):
            if earlier.path == "/robots.txt":
                continue  # its Crawl-delay is not known before it is read
            if later.at - earlier.at < interval - TOLERANCE_SECONDS:
                yield (
                    f"I5 {host}: {later.path} of {later.actor} came {later.at - earlier.at:.3f} s after "
                    f"{earlier.path} of {earlier.actor} at {earlier.at:.3f}, the interval is {interval}"
                )


def _cancelled_are_left_alone(evidence: Evidence) -> Iterator[str]:
    pages = Leases(evidence)
    for request in evidence.requests:
        # Where other crawls have the page, too, it is asked for in the name of the last one that may.
        late = [
            request.at - evidence.cancelled_at.get(url.crawl_id, request.at) for url in pages.holders(request)
        ]
        if late and min(late) > _CANCEL_SECONDS:
            yield f"I11 {request.path} was asked for {min(late):.1f} s after its crawl was cancelled"


def _histories(evidence: Evidence) -> Iterator[str]:
    by_crawl: dict[str, list[Walk]] = defaultdict(list)
    for walk in evidence.walks:
        by_crawl[walk.crawl_id].append(walk)
    for crawl_id, walks in by_crawl.items():
        for walk in walks:
            places = [record["url"] for record in walk.records]
            if len(places) != len(set(places)):
                yield f"I12 one walk over {crawl_id} shows a record twice"
        for earlier, later in pairwise(walks):
            yield from (f"I12 {crawl_id}: {text}" for text in _unhappened(earlier, later))


def _unhappened(earlier: Walk, later: Walk) -> Iterator[str]:
    if earlier.status not in {"running", later.status}:
        yield f"{earlier.status} became {later.status}"
    if later.finished < earlier.finished or later.total < earlier.total:
        yield (
            f"finished/total went from {earlier.finished}/{earlier.total} to {later.finished}/{later.total}"
        )
    if len(later.records) < len(earlier.records):
        yield f"{len(earlier.records)} records became {len(later.records)}"
    for before, after in zip(earlier.records, later.records, strict=False):
        if before["url"] != after["url"]:
            yield f"the place of {before['url']} is taken by {after['url']}"
            return
        if _is_final(before) and before != after:
            yield f"the final record of {before['url']} changed"


def _is_final(record: Mapping[str, Any]) -> bool:
    return record["status"] in TERMINAL
