"""The checker of schedules and recrawls: silent about a good run; each thing that must not happen makes it speak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.evidence import Change, Child, Comparison, Crawl, Evidence, Run, Schedule, Url, Walk
from tests.faults.invariants import violations
from tests.faults.origin import Request, edition_of

ROOT, LEAK = "http://h0.test/t/1/0", "http://h0.test/t/1/leak"
COUNTERS = {"completed": 1, "errored": 1}


def crawl(name: str, at: int, **fields: Any) -> Crawl:
    """A crawl of ROOT and LEAK that began at second `at` and took four."""
    return Crawl(
        name,
        "completed",
        10,
        COUNTERS,
        ROOT,
        "shape",
        created_at=at * 1000,
        ended_at=at * 1000 + 4000,
        **fields,
    )


def record(edition: int, **fields: str) -> Mapping[str, Any]:
    html = " ".join(["a page", *["edited"] * edition])
    assert edition_of(html) == edition
    return {"url": ROOT, "status": "completed", "html": html, **fields}


def good() -> Evidence:
    """Crawl `a` fetches the page, `b` copies it, `c` of a schedule has it confirmed, `d` of it gets another edition;
    `e` retries what errored in `d`, `f` goes on with `a`, which had one page left."""
    crawls = [
        crawl("a", 0, max_age=60.0),
        crawl("b", 10, max_age=60.0),
        crawl("c", 20, incremental=True, request_hash="s"),
        crawl("d", 30, incremental=True, request_hash="s"),
        replace(crawl("e", 40, parent_id="d"), counters={"errored": 1}),
        replace(crawl("f", 50, parent_id="a"), counters={"completed": 1}),
    ]
    urls, changes, requests, walks = [], [], [], []
    records = {
        "a": record(0),
        "b": record(0, cacheStatus="hit"),
        "c": record(0, cacheStatus="revalidated"),
        "d": record(1),
    }
    asks = {"a": (0, None), "c": (0, 0), "d": (1, 0)}
    for number, one in enumerate(crawls):
        at = one.created_at / 1000
        pages = {"e": [(LEAK, "errored")], "f": [(f"{ROOT}1", "completed")]}.get(
            one.id, [(ROOT, "completed"), (LEAK, "errored")]
        )
        for place, (url, status) in enumerate(pages):
            url_id, path = 10 * number + place, url.removeprefix("http://h0.test")
            urls.append(Url(url_id, one.id, "page", url, status))
            steps = [(None, "queued", at), ("queued", "leased", at + 1), ("leased", status, at + 3)]
            changes += [Change(url_id, *step[:2], "", 1, False, "w", step[2]) for step in steps]
            edition, known = asks.get(one.id, (0, None)) if url == ROOT else (0, None)
            if one.id != "b" or url != ROOT:
                requests.append(Request(at + 2 + place / 2, "h0.test", path, "w", edition, known))
        shown = [records[one.id]] if one.id in records else []
        walks.append(Walk(one.id, "completed", 2, 2, (*shown, {"url": LEAK, "status": "errored"})))
    runs = [
        Run(1, "s", 20_000, False, "ran", "", "c", 20_000),
        Run(2, "s", 30_000, False, "ran", "", "d", 30_000),
        Run(3, "s", 40_000, False, "missed", "", None, 50_000),
        Run(4, "s", 33_000, True, "skipped_overlap", "", None, 33_000),
    ]
    return Evidence(
        crawls=crawls,
        urls=urls,
        changes=changes,
        requests=requests,
        intervals={"h0.test": 0.5},
        walks=walks,
        schedules=[Schedule("s", 10_000, 10_000, 45_000, None)],
        runs=runs,
        accepted_schedules=frozenset({"s"}),
        accepted_runs=frozenset({4}),
        histories=[
            ("s", {}),
            ("s", {1: {"status": "ran"}, 4: {"status": "queued"}}),
            ("s", {1: {"status": "ran"}}),
        ],
        grace=3_000,
        children={"e": Child("d", "retry"), "f": Child("a", "continue", 3)},
        comparisons=[
            Comparison("a", None, {"new": 1}, ((ROOT, "new"),)),
            Comparison("b", "a", {"same": 1}, ((ROOT, "same"),)),
            Comparison("d", "c", {"changed": 1}, ((ROOT, "changed"),)),
            Comparison("e", "d", {"unknown": 1}, ((ROOT, "unknown"),)),
        ],
    )


Plant = Callable[[Evidence], Evidence]


def planted(**changes: Any) -> Plant:
    return lambda evidence: replace(evidence, **changes)


def rows_of(evidence: Evidence, name: str, rows: list[Any]) -> Evidence:
    changes: dict[str, Any] = {name: rows}
    return replace(evidence, **changes)


def other(name: str, index: int, **changes: Any) -> Plant:
    """One row of the evidence is another one."""

    def plant(evidence: Evidence) -> Evidence:
        rows = list(getattr(evidence, name))
        rows[index] = replace(rows[index], **changes)
        return rows_of(evidence, name, rows)

    return plant


def without(name: str, index: int) -> Plant:
    return lambda evidence: rows_of(
        evidence, name, [row for at, row in enumerate(getattr(evidence, name)) if at != index]
    )


def more(name: str, *rows: Any) -> Plant:
    return lambda evidence: rows_of(evidence, name, [*getattr(evidence, name), *rows])


def shown(index: int, what: Mapping[str, Any]) -> Plant:
    return other("walks", index, records=(what,))


def told(index: int, counts: Mapping[str, int], *pages: tuple[str, str]) -> Plant:
    return other("comparisons", index, counts=counts, pages=pages)


def test_a_good_run_is_silent() -> None:
    assert violations(good()) == []


TWICE = Run(9, "s", 20_000, False, "skipped_overlap", "", None, 20_000)
NOT_DUE = Run(9, "s", 25_000, False, "skipped_overlap", "", None, 22_000)
QUICK = Request(12.0, "h0.test", "/t/1/0", "w")
EARLY = Url(90, "f", "page", ROOT, "cancelled")


@pytest.mark.parametrize(
    ("finding", "plant"),
    [
        ("I13 s was due at 30000, and nothing says so", without("runs", 1)),
        ("I13 s was decided at 25000, and not due", more("runs", NOT_DUE)),
        ("I13 s was decided 2 times for 20000", more("runs", TWICE)),
        ("I13 s is over and still due", other("schedules", 0, next_due_at=50_000)),
        ("I13 run 1 of s is ran and has the crawl None", other("runs", 0, crawl_id=None)),
        ("I13 run 1 of s started x, which is not there", other("runs", 0, crawl_id="x")),
        ("I13 run 4 of s is queued", other("runs", 3, status="queued")),
        ("I13 run 4 of s is refused", other("runs", 3, status="refused")),
        ("I13 run 3 of s was missed 2000 ms after its time", other("runs", 2, decided_at=42_000)),
        ("I13 run 4 of s was skipped although", other("runs", 3, decided_at=50_000)),
        (
            "I13 crawl c of s is named by 0 runs",
            other("runs", 0, status="missed", crawl_id=None, decided_at=24_000),
        ),
        ("I13 crawl d of s is named by 2 runs", other("runs", 0, crawl_id="d")),
        ("I13 s started d while c was running", other("crawls", 2, ended_at=31_000)),
        ("I7 schedule x was accepted and is gone", planted(accepted_schedules=frozenset({"s", "x"}))),
        ("I7 run 5 was accepted and is gone", planted(accepted_runs=frozenset({5}))),
        ("I12 run 1 of s was", more("histories", ("s", {1: {"status": "missed"}}))),
        ("I12 run 1 of s was", more("histories", ("s", {}))),
        (f"I14 {ROOT} of b is a copy, which its crawl did not allow", other("crawls", 1, max_age=0.0)),
        (f"I14 {ROOT} of b is a copy, which its crawl did not allow", other("crawls", 1, incremental=True)),
        (f"I14 {ROOT} of b is a copy, and its origin was asked", more("requests", QUICK)),
        (f"I14 {ROOT} of b is a copy of nothing", shown(1, record(1, cacheStatus="hit"))),
        (f"I14 {ROOT} of b is a copy of nothing", other("crawls", 1, max_age=5.0)),
        (f"I14 {ROOT} of c was asked about", other("crawls", 2, incremental=False)),
        (f"I14 {ROOT} of c was confirmed in edition 1", shown(2, record(1, cacheStatus="revalidated"))),
        (f"I14 {ROOT} of c has edition 0, which its origin did not send", shown(2, record(0))),
        (f"I14 {ROOT} of d was confirmed in edition 1", shown(3, record(1, cacheStatus="revalidated"))),
        (f"I14 {ROOT} of a is not_due", shown(0, record(0, cacheStatus="not_due"))),
        (f"I14 {ROOT} of d has edition 0, which its origin did not send", shown(3, record(0))),
        ("I15 d was compared with a, not with c", other("comparisons", 2, against="a")),
        ("I15 b was compared with None, not with a", other("comparisons", 1, against=None)),
        ("I15 d tells", told(2, {"changed": 2}, (ROOT, "changed"), (ROOT, "changed"))),
        ("I15 d counts", told(2, {"changed": 2}, (ROOT, "changed"))),
        (f"I15 d tells that {ROOT} is same, it is changed", told(2, {"same": 1}, (ROOT, "same"))),
        (f"I15 b tells that {ROOT} is changed, it is same", told(1, {"changed": 1}, (ROOT, "changed"))),
        (f"I15 e tells that {ROOT} is removed, it is unknown", told(3, {"removed": 1}, (ROOT, "removed"))),
        (f"I15 a tells that {ROOT} is None, it is new", told(0, {})),
        (f"I15 a tells that {LEAK} is new, it is None", told(0, {"new": 2}, (ROOT, "new"), (LEAK, "new"))),
        ("I16 e has the parent c, not d", other("crawls", 4, parent_id="c")),
        ("I16 e retries", without("urls", 8)),
        ("I16 f crawls", more("urls", EARLY)),
        ("I10 f and what it continues have 3 pages", planted(children={"f": Child("a", "continue", 2)})),
    ],
)
def test_each_invariant_is_noticed(finding: str, plant: Plant) -> None:
    found = violations(plant(good()))
    assert any(text.startswith(finding) for text in found), found
