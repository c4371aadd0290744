"""When schedules are due: the rules of crawler/schedules.py, and what DST does to them (docs/adr/0009)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSimError
from hypothesis import given
from hypothesis import strategies as st

from crawler.schedules import (
    CatchUp,
    Limits,
    Overlap,
    RunStatus,
    ScheduleRule,
    Timing,
    decide,
    from_ms,
    list_backlog,
    to_ms,
)

BERLIN = "Europe/Berlin"
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LIMITS = Limits(grace_ms=MINUTE, catch_up_runs=3, queued_runs=2, history_ms=14 * DAY)
NOW = to_ms(datetime(2026, 6, 15, 12, 0, 30, tzinfo=UTC))


def rule(**fields: object) -> ScheduleRule:
    """A rule that is due every minute, with these fields."""
    return ScheduleRule.model_validate({"cron": "* * * * *"} | fields, strict=False)


def local_times(cron: str, zone: str, start: datetime, number: int) -> list[str]:
    """Due times after `start` with their offsets from UTC."""
    timing = Timing(rule(cron=cron, timezone=zone), 0, "seed")
    after = to_ms(start)
    return [
        from_ms(at).astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z")
        for at in islice(timing.after(after), number)
    ]


# Berlin, 2026: on 29 March 02:00 becomes 03:00, on 25 October 03:00 becomes 02:00 again.
SPRING = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo(BERLIN))
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=ZoneInfo(BERLIN))


def test_a_time_that_is_skipped_runs_when_the_gap_ends() -> None:
    assert local_times("30 2 * * *", BERLIN, SPRING, 2) == ["29 03:00 +0200", "30 02:30 +0200"]


def test_two_times_in_the_gap_are_one() -> None:
    assert local_times("15,45 2 * * *", BERLIN, SPRING, 2) == ["29 03:00 +0200", "30 02:15 +0200"]


def test_a_time_that_comes_twice_runs_on_the_first_pass() -> None:
    assert local_times("30 2 * * *", BERLIN, AUTUMN, 2) == ["25 02:30 +0200", "26 02:30 +0100"]


def test_a_schedule_made_in_the_second_pass_waits_for_the_next_day() -> None:
    second_pass = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=ZoneInfo(BERLIN))
    assert local_times("30 2 * * *", BERLIN, second_pass, 1) == ["26 02:30 +0100"]


def test_a_job_of_every_half_hour_runs_in_both_passes() -> None:
    start = datetime(2026, 10, 25, 1, 45, tzinfo=ZoneInfo(BERLIN))
    found = local_times("*/30 * * * *", BERLIN, start, 5)
    assert found == ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100"]


def test_a_job_of_every_half_hour_has_nothing_to_do_in_the_gap() -> None:
    start = datetime(2026, 3, 29, 1, 15, tzinfo=ZoneInfo(BERLIN))
    assert local_times("*/30 * * * *", BERLIN, start, 2) == ["29 01:30 +0100", "29 03:00 +0200"]


def test_an_interval_counts_real_hours_across_the_change() -> None:
    day = ScheduleRule.model_validate({"interval_seconds": 86_400}, by_name=True, by_alias=True)
    anchor = to_ms(AUTUMN)
    times = list(islice(Timing(day, anchor, "seed").after(anchor), 3))
    assert [at - anchor for at in times] == [DAY, 2 * DAY, 3 * DAY]


CRONS = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["*", "*/15", "0", "30", "5,35", "59", "10-20/5"]),
        st.sampled_from(["*", "*/2", "0", "1-3", "2", "23", "2,3"]),
        st.sampled_from(["*", "1", "L", "*/7"]),
        st.sampled_from(["*", "3,10", "4"]),
        st.sampled_from(["*", "SUN", "1-5", "MON#1"]),
    ),
)
ZONES = st.sampled_from(
    [
        BERLIN,
        "UTC",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Asia/Kolkata",
        "America/Havana",
    ]
)
#: From 2020 to 2035, in milliseconds.
MOMENTS = st.integers(1_577_836_800_000, 2_051_222_400_000)


@given(CRONS, ZONES, MOMENTS)
def test_times_only_go_forward_and_do_not_depend_on_how_they_are_asked_for(
    cron: str, zone: str, moment: int
) -> None:
    timing = Timing(rule(cron=cron, timezone=zone), 0, "seed")
    times = list(islice(timing.after(moment), 4))
    assert all(earlier < later for earlier, later in pairwise([moment, *times]))
    one_by_one = []
    for _ in times:
        moment = next(timing.after(moment))
        one_by_one.append(moment)
    assert one_by_one == times


@given(st.integers(60, 10_000), st.integers(0, 5_000), MOMENTS, st.integers(0, 10**10), st.text(max_size=3))
def test_intervals_keep_their_pace_within_the_jitter(
    interval: int, jitter: int, anchor: int, later: int, seed: str
) -> None:
    jitter = min(jitter, interval // 2)
    every = ScheduleRule.model_validate({"intervalSeconds": interval, "jitterSeconds": jitter})
    times = list(islice(Timing(every, anchor, seed).after(anchor + later), 5))
    assert times[0] > anchor + later
    for at in times:
        assert (at - anchor) % (interval * 1000) <= jitter * 1000
    numbers = [(at - anchor) // (interval * 1000) for at in times]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert Timing(every, anchor, seed).after(times[0]).__next__() == times[1]


def test_a_time_that_its_jitter_holds_back_is_not_passed_over() -> None:
    timing = Timing(ScheduleRule.model_validate({"intervalSeconds": 60, "jitterSeconds": 30}), 10**12, "s")
    times = list(islice(timing.after(10**12), 3))
    assert [at - 10**12 for at in times] == [66_006, 138_673, 195_564]
    assert next(timing.after(times[1] - 1)) == times[1]


def bounded_intervals(
    interval: int, jitter: int, anchor: int, number: int, starts: bool
) -> tuple[ScheduleRule, int, int]:
    """A rule that ends after `number` intervals, its anchor and its end; if it `starts` it names the anchor itself."""
    end = anchor + number * interval * 1000
    fields = {"intervalSeconds": interval, "jitterSeconds": min(jitter, interval // 2), "endAt": from_ms(end)}
    if starts:
        fields["startAt"] = from_ms(anchor)
    return ScheduleRule.model_validate(fields), anchor, end


@given(
    st.builds(
        bounded_intervals,
        st.integers(60, 100),
        st.integers(0, 50),
        MOMENTS,
        st.integers(0, 20),
        st.booleans(),
    ),
    st.text(max_size=3),
    st.floats(-0.1, 1.1),
)
def test_what_comes_after_a_moment_is_the_rest_of_all_times(
    bounded: tuple[ScheduleRule, int, int], seed: str, part: float
) -> None:
    every, anchor, end = bounded
    timing = Timing(every, anchor, seed)
    times = list(timing.after(anchor - 1))
    assert all(earlier < later for earlier, later in pairwise(times))
    assert all(anchor <= at <= end for at in times)
    moment = anchor + round(part * (end - anchor))
    assert list(timing.after(moment)) == [at for at in times if at > moment]


def test_jitter_keeps_schedules_apart() -> None:
    every = ScheduleRule.model_validate({"intervalSeconds": 3600, "jitterSeconds": 600})
    firsts = {next(Timing(every, 0, str(number)).after(0)) for number in range(50)}
    assert len(firsts) > 40


def test_start_and_end_bound_the_times() -> None:
    start = datetime(2026, 6, 15, 13, 0, tzinfo=UTC)
    bounded = rule(cron="*/20 * * * *", startAt=start, endAt=start + timedelta(hours=1))
    times = list(Timing(bounded, 0, "seed").after(NOW))
    assert [(at - to_ms(start)) // MINUTE for at in times] == [0, 20, 40, 60]
    interval = ScheduleRule.model_validate({"intervalSeconds": 1800, "startAt": start})
    assert next(Timing(interval, 0, "seed").after(NOW)) == to_ms(start)


@given(
    st.text(max_size=30) | st.from_regex(r"([*/,\-L#0-9A-Z]{1,6} ){4}[*/,\-L#0-9A-Z]{1,6}", fullmatch=True)
)
def test_what_is_accepted_as_cron_can_be_used(text: str) -> None:
    try:
        accepted = rule(cron=text)
    except ValueError:
        return
    try:
        times = list(islice(Timing(accepted, 0, "seed").after(NOW), 2))
    except CronSimError as error:  # pragma: no cover
        pytest.fail(f"{text!r}: {error}")
    assert times == sorted(set(times))


def statuses(
    downtime_minutes: int, *, is_running: bool = False, queued: int = 0, batch: int = 500, **fields: object
) -> list[str]:
    """What becomes of the minutes of a downtime that ends 30 s after the last of them."""
    timing = Timing(rule(**fields), 0, "seed")
    first = NOW - 30_000 - (downtime_minutes - 1) * MINUTE
    backlog = list_backlog(timing, first, NOW, LIMITS, batch=batch)
    decisions = decide(backlog, timing.rule, NOW, LIMITS, is_running=is_running, queued=queued)
    assert [decision.due_at for decision in decisions] == [first + n * MINUTE for n in range(len(decisions))]
    assert backlog.following == first + len(decisions) * MINUTE
    return [str(decision.status) for decision in decisions]


def test_a_time_within_the_grace_runs_under_every_policy() -> None:
    for policy in CatchUp:
        assert statuses(1, catchUp=policy) == ["ran"]


def test_catch_up_skip_runs_nothing_late() -> None:
    assert statuses(4, catchUp="skip") == ["missed", "missed", "missed", "ran"]
    timing = Timing(rule(cron="0 * * * *", catchUp="skip"), 0, "seed")
    first = NOW - 30_000 - 2 * HOUR
    late = NOW + 10 * MINUTE
    backlog = list_backlog(timing, first, late, LIMITS, batch=500)
    decisions = decide(backlog, timing.rule, late, LIMITS, is_running=False, queued=0)
    assert [decision.status for decision in decisions] == [RunStatus.MISSED] * 3


def test_catch_up_latest_runs_one() -> None:
    assert statuses(4, catchUp="latest") == ["missed", "missed", "missed", "ran"]
    timing = Timing(rule(cron="0 * * * *", catchUp="latest"), 0, "seed")
    late = NOW + 10 * MINUTE
    backlog = list_backlog(timing, NOW - 30_000 - HOUR, late, LIMITS, batch=500)
    decisions = decide(backlog, timing.rule, late, LIMITS, is_running=False, queued=0)
    assert [str(decision.status) for decision in decisions] == ["missed", "ran"]


def test_catch_up_all_is_bounded_and_meets_the_overlap_policy() -> None:
    skipping = statuses(5, catchUp="all", overlap="skip")
    assert skipping == ["missed", "missed", "ran", "skipped_overlap", "skipped_overlap"]
    queueing = statuses(5, catchUp="all", overlap="queue")
    assert queueing == ["missed", "missed", "ran", "queued", "queued"]
    cancelling = statuses(5, catchUp="all", overlap="cancel_previous")
    assert cancelling == ["missed", "missed", "skipped_overlap", "skipped_overlap", "ran"]


def test_overlap_policies() -> None:
    assert statuses(1, is_running=True, overlap="skip") == ["skipped_overlap"]
    assert statuses(1, is_running=True, overlap="queue") == ["queued"]
    assert statuses(1, is_running=False, queued=1, overlap="queue") == ["queued"]
    assert statuses(1, is_running=True, queued=2, overlap="queue") == ["skipped_overlap"]
    assert statuses(1, is_running=True, overlap="cancel_previous") == ["ran"]


def test_a_paused_schedule_records_its_times() -> None:
    assert statuses(3, paused=True, catchUp="all") == ["skipped_paused"] * 3


@given(
    st.integers(1, 40),
    st.integers(1, 7),
    st.sampled_from(CatchUp),
    st.sampled_from(Overlap),
    st.booleans(),
)
def test_a_long_backlog_is_decided_in_batches_as_in_one(
    minutes: int, batch: int, catch_up: CatchUp, overlap: Overlap, is_running: bool
) -> None:
    """Every minute gets exactly one decision, and at most one crawl starts in each batch."""
    timing = Timing(rule(catchUp=catch_up, overlap=overlap), 0, "seed")
    first: int | None = NOW - 30_000 - (minutes - 1) * MINUTE
    whole = list_backlog(timing, NOW - 30_000 - (minutes - 1) * MINUTE, NOW, LIMITS, batch=1000)
    made_up = {
        d.due_at for d in decide(whole, timing.rule, NOW, LIMITS, is_running=True, queued=9) if d.is_runnable
    }
    seen = []
    while first is not None and first <= NOW:
        backlog = list_backlog(timing, first, NOW, LIMITS, batch=batch)
        decisions = decide(backlog, timing.rule, NOW, LIMITS, is_running=is_running, queued=0)
        assert sum(decision.status is RunStatus.RAN for decision in decisions) <= 1
        assert {d.due_at for d in decisions if d.is_runnable} == made_up & {d.due_at for d in decisions}
        seen += [decision.due_at for decision in decisions]
        first = backlog.following
    assert seen == [NOW - 30_000 - (minutes - 1 - n) * MINUTE for n in range(minutes)]


def test_due_times_beyond_the_history_are_not_recorded() -> None:
    backlog = list_backlog(Timing(rule(), 0, "seed"), NOW - 30_000 - 400 * DAY, NOW, LIMITS, batch=10)
    assert NOW - LIMITS.history_ms <= backlog.times[0] <= NOW - LIMITS.history_ms + MINUTE
