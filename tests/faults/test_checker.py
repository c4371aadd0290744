"""The checker itself: it is silent about a good run, and each thing that must not happen makes it speak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults.evidence import Change, Crawl, Evidence, Url, Walk
from tests.faults.invariants import violations
from tests.faults.origin import Request

RECORD = {"url": "http://h0.test/t/1/0", "status": "completed"}


def change(was: str | None, became: str, *, actor: str = "a", at: float = 0.0, reason: str = "") -> Change:
    return Change(1, was, became, reason, 1, given_back=False, actor=actor, at=at)


def good() -> Evidence:
    """One crawl of one page, fetched once by worker `a`."""
    return Evidence(
        crawls=[Crawl("c", "completed", 10, {"completed": 1, "queued": 0})],
        urls=[Url(1, "c", "page", "http://h0.test/t/1/0", "completed")],
        changes=[
            change(None, "queued", actor="api", at=0.0),
            change("queued", "leased", at=1.0),
            change("leased", "completed", at=3.0),
        ],
        requests=[Request(1.5, "h0.test", "/robots.txt", "a"), Request(2.0, "h0.test", "/t/1/0", "a")],
        intervals={"h0.test": 0.5},
        walks=[Walk("c", "running", 1, 0, ()), Walk("c", "completed", 1, 1, (RECORD,))],
        accepted=frozenset({"c"}),
    )


def lost_and_stolen(evidence: Evidence) -> Evidence:
    """Worker a finishes although b has the lease: what a fence without a token would allow."""
    evidence.changes = [
        *evidence.changes[:2],
        change("leased", "queued", actor="tick", at=1.6, reason="worker_lost"),
        change("queued", "leased", actor="b", at=2.5),
        change("leased", "completed", actor="a", at=3.0),
    ]
    return evidence


def late_dial(evidence: Evidence) -> Evidence:
    evidence.changes = [
        *evidence.changes[:2],
        change("leased", "queued", actor="tick", at=1.6, reason="worker_lost"),
        change("queued", "leased", actor="b", at=1.8),
        change("leased", "completed", actor="b", at=3.0),
    ]
    return evidence


def third_walk(**changes: object) -> Callable[[Evidence], Evidence]:
    def plant(evidence: Evidence) -> Evidence:
        evidence.walks = [*evidence.walks, replace(evidence.walks[-1], **changes)]  # type: ignore[arg-type]
        return evidence

    return plant


def planted(**changes: object) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, **changes)  # type: ignore[arg-type]


def test_a_good_run_is_silent() -> None:
    assert violations(good()) == []


@pytest.mark.parametrize(
    ("invariant", "plant"),
    [
        ("I1", planted(urls=[*good().urls, replace(good().urls[0], id=2)])),
        ("I1", planted(urls=[replace(good().urls[0], status="leased")])),
        ("I1", planted(changes=[*good().changes, change("completed", "errored")])),
        ("I2", planted(crawls=[replace(good().crawls[0], status="running")])),
        ("I2", planted(crawls=[replace(good().crawls[0], counters={"completed": 2})])),
        ("I3", planted(changes=[*good().changes, change("completed", "queued")])),
        ("I3", planted(changes=[change(None, "queued"), change("queued", "completed")])),
        ("I3", planted(changes=[*good().changes[:2], change("leased", "leased", actor="b")])),
        ("I3", lost_and_stolen),
        ("I4", planted(requests=[*good().requests, Request(2.9, "h0.test", "/t/1/0", "a")])),
        ("I4", planted(changes=[*(good().changes[1],) * 4, good().changes[2]])),
        ("I4", late_dial),
        ("I5", planted(requests=[*good().requests, Request(2.4, "h0.test", "/other", "a")])),
        ("I6", planted(canary_hits=1)),
        ("I7", planted(accepted=frozenset({"c", "gone"}))),
        ("I8", planted(leaks=["table crawls"])),
        ("I10", planted(crawls=[replace(good().crawls[0], url_limit=0)])),
        ("I11", planted(cancelled_at={"c": -20.0})),
        ("I12", third_walk(status="errored")),
        ("I12", third_walk(records=())),
        ("I12", third_walk(finished=0)),
        ("I12", third_walk(records=({"url": "http://h0.test/t/1/1", "status": "queued"},))),
        ("I12", third_walk(records=({**RECORD, "status": "errored"},))),
        ("I12", third_walk(records=(RECORD, RECORD))),
        ("API", planted(bad_answers=["GET 500 <html>"])),
    ],
)
def test_each_invariant_is_noticed(invariant: str, plant: Callable[[Evidence], Evidence]) -> None:
    assert invariant in {text.split()[0] for text in violations(plant(good()))}
