"""The invariants of schedules, and of crawls of what was crawled before, as a pure function over the evidence.

I13 each due time of a schedule is decided once, and its crawls run one at a time
I14 a record says what its origin said, and a copy of it asks for nothing
I15 what has changed since the crawl before is told truly, and its counts add up
I16 a retry crawls the errored pages and no others, what goes on crawls nothing again
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from operator import attrgetter
from typing import Any

from tests.faults.evidence import Change, Comparison, Crawl, Evidence, Run, Schedule, Url
from tests.faults.leases import TOLERANCE_SECONDS, Leases, place
from tests.faults.origin import Request, edition_of

_DONE = frozenset({"completed", "errored", "disallowed"})
#: `ended_at` of a crawl is taken before its COMMIT, and until that is done everybody sees it running. The database of
#: whoever ends it may be held for six seconds in between (`nemesis.py`).
_COMMIT_MS = 10_000

Records = Mapping[tuple[str, str], Mapping[str, Any]]


def violations_of_recrawls(evidence: Evidence) -> list[str]:
    """Everything that should not have happened."""
    return [
        *(text for schedule in evidence.schedules for text in _decided_once(evidence, schedule)),
        *(text for schedule in evidence.schedules for text in _one_at_a_time(evidence, schedule)),
        *_accepted(evidence),
        *_runs_do_not_unhappen(evidence),
        *_records_are_true(evidence),
        *_changes_are_true(evidence),
        *_children(evidence),
    ]


# --- schedules ----------------------------------------------------------------------------------------------------


def _decided_once(evidence: Evidence, schedule: Schedule) -> Iterator[str]:
    runs = [run for run in evidence.runs if run.schedule_id == schedule.id]
    decided = Counter(run.due_at for run in runs if not run.is_manual)
    due = range(schedule.anchor_at + schedule.interval, schedule.end_at + 1, schedule.interval)
    yield from (f"I13 {schedule.id} was due at {at}, and nothing says so" for at in due if not decided[at])
    yield from (f"I13 {schedule.id} was decided at {at}, and not due" for at in decided if at not in due)
    yield from (f"I13 {schedule.id} was decided {n} times for {at}" for at, n in decided.items() if n > 1)
    if schedule.next_due_at is not None:
        yield f"I13 {schedule.id} is over and still due at {schedule.next_due_at}"
    for run in runs:
        yield from (f"I13 run {run.id} of {schedule.id} {text}" for text in _judge(evidence, run, runs))
    started = Counter(run.crawl_id for run in runs if run.crawl_id is not None)
    for crawl in evidence.crawls:
        if crawl.request_hash == schedule.id and started[crawl.id] != 1:
            yield f"I13 crawl {crawl.id} of {schedule.id} is named by {started[crawl.id]} runs"


def _judge(evidence: Evidence, run: Run, runs: list[Run]) -> Iterator[str]:
    """Whether what was decided follows from what was there. Nobody pauses a schedule or forbids its crawl."""
    crawls = {crawl.id: crawl for crawl in evidence.crawls}
    if (run.status == "ran") != (run.crawl_id is not None):
        yield f"is {run.status} and has the crawl {run.crawl_id}"
    if run.crawl_id is not None and run.crawl_id not in crawls:
        yield f"started {run.crawl_id}, which is not there"
    if run.status in {"queued", "refused", "skipped_paused"}:
        yield f"is {run.status}: {run.reason}"
    if run.status == "missed" and run.decided_at - run.due_at <= evidence.grace:
        yield f"was missed {run.decided_at - run.due_at} ms after its time"
    if run.status == "skipped_overlap":
        # What was due later may have come first: a run that a client asked for before the tick came.
        before = [
            crawls.get(other.crawl_id or "")
            for other in runs
            if other.due_at < run.due_at or other.decided_at <= run.decided_at
        ]
        ends = [crawl.ended_at for crawl in before if crawl is not None]
        if not any(end is None or end >= run.decided_at - _COMMIT_MS for end in ends):
            yield "was skipped although no crawl before was running"


def _one_at_a_time(evidence: Evidence, schedule: Schedule) -> Iterator[str]:
    crawls = [crawl for crawl in evidence.crawls if crawl.request_hash == schedule.id]
    for earlier, later in pairwise(sorted(crawls, key=attrgetter("created_at"))):
        if earlier.ended_at is None or earlier.ended_at > later.created_at:
            yield f"I13 {schedule.id} started {later.id} while {earlier.id} was running"


def _accepted(evidence: Evidence) -> Iterator[str]:
    there = {schedule.id for schedule in evidence.schedules}
    yield from (
        f"I7 schedule {gone} was accepted and is gone" for gone in evidence.accepted_schedules - there
    )
    runs = {run.id for run in evidence.runs}
    yield from (f"I7 run {gone} was accepted and is gone" for gone in evidence.accepted_runs - runs)


def _runs_do_not_unhappen(evidence: Evidence) -> Iterator[str]:
    latest: dict[str, Mapping[int, Mapping[str, Any]]] = {}
    for schedule_id, runs in evidence.histories:
        for run_id, before in latest.get(schedule_id, {}).items():
            if before["status"] != "queued" and runs.get(run_id) != before:
                yield f"I12 run {run_id} of {schedule_id} was {before} and became {runs.get(run_id)}"
        latest[schedule_id] = runs


# --- copies and answers of "not modified" --------------------------------------------------------------------------


def _records_are_true(evidence: Evidence) -> Iterator[str]:
    copies = _Copies(evidence)
    for url in evidence.urls:
        record = copies.records.get((url.crawl_id, url.url))
        if url.role == "page" and url.status == "completed" and record is not None and "html" in record:
            yield from (f"I14 {url.url} of {url.crawl_id} {text}" for text in copies.judge(url, record))


class _Copies:
    """Where each record came from, by what its origin was asked."""

    def __init__(self, evidence: Evidence) -> None:
        self.records = _last_records(evidence)
        self._crawls = {crawl.id: crawl for crawl in evidence.crawls}
        self._leases = Leases(evidence)

    def judge(self, url: Url, record: Mapping[str, Any]) -> Iterator[str]:
        changes = self._leases.changes[url.id]
        # The lease in which it was completed, and its end.
        began, ended = [change for change in changes if change.became == "leased"][-1], changes[-1]
        asked = [
            request
            for request in self._leases.requests_at(place(url))
            if request.actor == began.actor
            and began.at - TOLERANCE_SECONDS <= request.at <= ended.at + TOLERANCE_SECONDS
        ]
        edition, crawl = edition_of(record["html"]), self._crawls[url.crawl_id]
        match record.get("cacheStatus"):
            case "hit":
                yield from self._judge_copy(url, crawl, began, ended, asked)
            case "revalidated":
                if not crawl.incremental:
                    yield "was asked about, which its crawl did not want"
                if not any(request.known == request.edition == edition for request in asked):
                    yield f"was confirmed in edition {edition}, of which its origin did not say so"
            case None:
                if not any(request.edition == edition != request.known for request in asked):
                    yield f"has edition {edition}, which its origin did not send"
            case other:
                yield f"is {other}, which its crawl did not allow"

    def _judge_copy(
        self, url: Url, crawl: Crawl, began: Change, ended: Change, asked: list[Request]
    ) -> Iterator[str]:
        if crawl.incremental or not crawl.max_age:
            yield "is a copy, which its crawl did not allow"
        # A crawl of the same tree may ask for the page for itself meanwhile, from the same process.
        if any(self._leases.holders(request) == [url] for request in asked):
            yield "is a copy, and its origin was asked"
        html = self.records[url.crawl_id, url.url]["html"]
        oldest_at = began.at - crawl.max_age - TOLERANCE_SECONDS
        if not any(
            other.crawl_id != url.crawl_id
            and other.status == "completed"
            and oldest_at <= self._leases.changes[other.id][-1].at <= ended.at
            and self.records.get((other.crawl_id, other.url), {}).get("html") == html
            for other in self._leases.rows[place(url)]
        ):
            yield "is a copy of nothing that it may be a copy of"


def _last_records(evidence: Evidence) -> Records:
    """What a client was told of each page in the end, by crawl and URL."""
    return {(walk.crawl_id, record["url"]): record for walk in evidence.walks for record in walk.records}


# --- changes ------------------------------------------------------------------------------------------------------


def _changes_are_true(evidence: Evidence) -> Iterator[str]:
    crawls = {crawl.id: crawl for crawl in evidence.crawls}
    records = _last_records(evidence)
    by_crawl: dict[str, dict[str, Url]] = defaultdict(dict)
    for url in evidence.urls:
        if url.role == "page":
            by_crawl[url.crawl_id][url.url] = url
    for told in evidence.comparisons:
        crawl = crawls[told.crawl_id]
        against = _crawl_before(crawl, evidence)
        if told.against != against:
            yield f"I15 {crawl.id} was compared with {told.against}, not with {against}"
            continue
        names = Counter(name for name, _ in told.pages)
        yield from (f"I15 {crawl.id} tells {name} {n} times" for name, n in names.items() if n > 1)
        if Counter(status for _, status in told.pages) != Counter(told.counts):
            yield f"I15 {crawl.id} counts {dict(told.counts)}, and its pages are others"
        yield from _pages_are_true(told, by_crawl[crawl.id], by_crawl[told.against or ""], records)


def _crawl_before(crawl: Crawl, evidence: Evidence) -> str | None:
    before = [
        other
        for other in evidence.crawls
        if (other.seed_url, other.fingerprint) == (crawl.seed_url, crawl.fingerprint)
        and (other.created_at, other.id) < (crawl.created_at, crawl.id)
        and other.status == "completed"
        and other.parent_id is None
    ]
    return max(before, key=lambda other: (other.created_at, other.id)).id if before else None


def _pages_are_true(
    told: Comparison, new: Mapping[str, Url], old: Mapping[str, Url], records: Records
) -> Iterator[str]:
    """No page of the origin is ever taken away, so none is `removed`."""
    statuses = dict(told.pages)
    for name in new.keys() | old.keys():
        is_completed = name in new and new[name].status == "completed"
        was_completed = name in old and old[name].status == "completed"
        expected = None
        if is_completed and not was_completed:
            expected = "new"
        elif is_completed:
            editions = [edition_of(records[row.crawl_id, name]["html"]) for row in (new[name], old[name])]
            expected = "same" if editions[0] == editions[1] else "changed"
        elif was_completed:
            expected = "unknown"
        if statuses.get(name) != expected:
            yield f"I15 {told.crawl_id} tells that {name} is {statuses.get(name)}, it is {expected}"


# --- retry and continue -------------------------------------------------------------------------------------------


def _children(evidence: Evidence) -> Iterator[str]:
    crawls = {crawl.id: crawl for crawl in evidence.crawls}
    pages: dict[str, dict[str, str]] = defaultdict(dict)
    for url in evidence.urls:
        if url.role == "page":
            pages[url.crawl_id][url.url] = url.status
    for child_id, child in evidence.children.items():
        if child_id not in crawls:
            continue  # I7
        if crawls[child_id].parent_id != child.parent_id:
            yield f"I16 {child_id} has the parent {crawls[child_id].parent_id}, not {child.parent_id}"
        if child.how == "retry":
            errored = {name for name, status in pages[child.parent_id].items() if status == "errored"}
            if errored != pages[child_id].keys():
                yield f"I16 {child_id} retries {sorted(pages[child_id])}, not {sorted(errored)}"
            continue
        done: set[str] = set()
        line: str | None = child.parent_id
        while line is not None:
            done |= {name for name, status in pages[line].items() if status in _DONE}
            line = crawls[line].parent_id
        yield from (f"I16 {child_id} crawls {name} again" for name in done & pages[child_id].keys())
        done |= {name for name, status in pages[child_id].items() if status in _DONE}
        if len(done) > child.limit:
            yield f"I10 {child_id} and what it continues have {len(done)} pages, their limit is {child.limit}"
