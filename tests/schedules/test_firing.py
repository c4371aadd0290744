"""What the scheduler does with due times, on SQLite and Postgres, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from sqlalchemy import insert, select, text, update

from crawler.errors import InvalidRequest, NotFound
from crawler.model import CrawlStatus
from crawler.schedules import RunStatus
from crawler.service import SIGNAL_CONFLICT
from crawler.store.hosts import Hosts
from crawler.store.robots import RobotsFiles, RobotsState
from crawler.store.schedules import Schedules
from crawler.store.schema import schedules
from crawler.store.secrets import KeyRing, Secrets
from tests.schedules.conftest import ACCOUNT, SEED, Scheduler

pytestmark = pytest.mark.slow


async def test_every_minute_has_its_run_and_its_crawl(scheduler: Scheduler) -> None:
    schedule = await scheduler.add()
    for _ in range(3):
        assert await scheduler.pass_minutes(1) == 1
        assert await scheduler.runtime.scheduling.fire_due() == 0
        await scheduler.end_crawl((await scheduler.runs(schedule))[-1].crawl_id)
    runs = await scheduler.runs(schedule)
    assert [run.status for run in runs] == [RunStatus.RAN] * 3
    assert [run.due_at % 60_000 for run in runs] == [0] * 3
    assert [later.due_at - run.due_at for run, later in pairwise(runs)] == [60_000] * 2
    assert {run.crawl_id for run in runs} == set(await scheduler.crawls())


async def test_scheduled_crawls_are_incremental_and_no_repeats_of_a_clients(scheduler: Scheduler) -> None:
    await scheduler.add()
    await scheduler.pass_minutes(1)
    (crawl_id,) = await scheduler.crawls()
    async with scheduler.runtime.database.read() as connection:
        row = (await connection.execute(text("SELECT options, request_hash FROM crawls"))).one()
    assert '"incremental":true' in row.options
    # A client's hash has 64 digits.
    assert len(row.request_hash) == 36
    assert row.request_hash != crawl_id


async def test_overlap_skip(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "skip"')
    for _ in range(3):
        await scheduler.pass_minutes(1)
    assert await scheduler.statuses(schedule) == ["ran", "skipped_overlap", "skipped_overlap"]
    assert list((await scheduler.crawls()).values()) == [CrawlStatus.RUNNING]


async def test_overlap_queue_starts_the_waiting_one_by_one(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "queue"')
    for _ in range(3):
        await scheduler.pass_minutes(1)
    assert await scheduler.statuses(schedule) == ["ran", "queued", "queued"]
    await scheduler.end_crawl((await scheduler.runs(schedule))[0].crawl_id)
    assert await scheduler.runtime.scheduling.fire_due() == 1
    assert await scheduler.statuses(schedule) == ["ran", "ran", "queued"]
    # The next due time meets the end of the second crawl: the third run goes first, the new one waits.
    await scheduler.end_crawl((await scheduler.runs(schedule))[1].crawl_id)
    await scheduler.pass_minutes(1)
    assert await scheduler.statuses(schedule) == ["ran", "ran", "ran", "queued"]
    assert list((await scheduler.crawls()).values()).count(CrawlStatus.RUNNING) == 1


async def test_the_queue_is_bounded(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "queue"')
    for _ in range(13):
        await scheduler.pass_minutes(1)
    assert await scheduler.statuses(schedule) == ["ran"] + ["queued"] * 10 + ["skipped_overlap"] * 2


async def test_overlap_cancel_previous(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "cancel_previous"')
    for _ in range(3):
        await scheduler.pass_minutes(1)
    runs = await scheduler.runs(schedule)
    assert [run.status for run in runs] == [RunStatus.RAN] * 3
    crawls = await scheduler.crawls()
    assert [crawls[str(run.crawl_id)] for run in runs] == [
        CrawlStatus.CANCELLED_BY_USER,
        CrawlStatus.CANCELLED_BY_USER,
        CrawlStatus.RUNNING,
    ]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("skip", ["missed"] * 3),
        ("latest", ["missed", "missed", "ran"]),
        ("all", ["ran", "skipped_overlap", "skipped_overlap"]),
    ],
)
async def test_catching_up_after_a_downtime(scheduler: Scheduler, policy: str, expected: list[str]) -> None:
    schedule = await scheduler.add(f'"intervalSeconds": 3600, "catchUp": "{policy}"')
    assert await scheduler.pass_minutes(3 * 60 + 5) == 3
    assert await scheduler.statuses(schedule) == expected


async def test_a_downtime_of_days_leaves_a_row_for_every_minute(scheduler: Scheduler) -> None:
    schedule = await scheduler.add()
    minutes = 2_000
    assert await scheduler.pass_minutes(minutes) == minutes
    async with scheduler.runtime.database.read() as connection:
        found = (await connection.execute(text("SELECT status, due_at FROM schedule_runs"))).all()
    assert sorted(row.status for row in found) == ["missed"] * (minutes - 1) + ["ran"]
    due = sorted(row.due_at for row in found)
    assert due == list(range(due[0], due[0] + minutes * 60_000, 60_000))
    assert schedule.next_due_at == due[0]


async def test_a_paused_schedule_records_and_starts_nothing(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "queue"')
    await scheduler.pass_minutes(1)
    await scheduler.pass_minutes(1)
    await scheduler.runtime.scheduling.change(ACCOUNT, schedule.id, b'{"paused": true}')
    await scheduler.end_crawl((await scheduler.runs(schedule))[0].crawl_id)
    await scheduler.pass_minutes(1)
    assert await scheduler.statuses(schedule) == ["ran", "skipped_paused", "skipped_paused"]
    await scheduler.runtime.scheduling.change(ACCOUNT, schedule.id, b'{"paused": false}')
    await scheduler.pass_minutes(1)
    assert (await scheduler.statuses(schedule))[-1] == "ran"


async def test_a_run_that_is_asked_for_runs_though_paused_but_not_twice(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "paused": true')
    first = await scheduler.runtime.scheduling.run_now(ACCOUNT, schedule.id)
    second = await scheduler.runtime.scheduling.run_now(ACCOUNT, schedule.id)
    assert (first.status, first.is_manual) == (RunStatus.RAN, True)
    assert first.crawl_id in await scheduler.crawls()
    assert (second.status, second.crawl_id) == (RunStatus.SKIPPED_OVERLAP, None)


@pytest.mark.parametrize("limits", [{"max_daily_crawls": 1}])
async def test_a_quota_refuses_the_run_and_the_schedule_goes_on(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "cancel_previous"')
    await scheduler.pass_minutes(1)
    await scheduler.pass_minutes(1)
    refused = (await scheduler.runs(schedule))[-1]
    assert (refused.status, refused.crawl_id) == (RunStatus.REFUSED, None)
    assert refused.reason == "This account may start 1 crawls a day"
    # Nothing came in its place, so the crawl before goes on.
    assert list((await scheduler.crawls()).values()) == [CrawlStatus.RUNNING]
    await scheduler.pass_minutes(24 * 60)
    assert (await scheduler.statuses(schedule))[-1] == "ran"


async def test_content_signals_refuse_the_runs_and_the_schedule_goes_on(scheduler: Scheduler) -> None:
    database, host = scheduler.runtime.database, "site.invalid"
    files, hosts = RobotsFiles(database), Hosts(database, default_delay_ms=0)
    await files.get_or_claim(f"http://{host}", claim_seconds=1)
    await files.store(
        f"http://{host}", (await hosts.ensure([host]))[host], RobotsState.FOUND,
        body=b"User-agent: *\nContent-Signal: ai-train=no\n", reason="", failures=0, ttl_seconds=600, keeps_age=False,
        crawl_delay_ms=None,
    )  # fmt: skip
    schedule = await scheduler.add()
    await scheduler.pass_minutes(1)
    await scheduler.pass_minutes(1)
    refused = await scheduler.runs(schedule)
    assert [(run.status, run.reason) for run in refused] == [(RunStatus.REFUSED, SIGNAL_CONFLICT)] * 2
    assert await scheduler.crawls() == {}
    allowed = f'{{"crawl": {{"url": "{SEED}", "render": false, "crawlPurposes": ["search"]}}}}'
    await scheduler.runtime.scheduling.change(ACCOUNT, schedule.id, allowed.encode())
    await scheduler.pass_minutes(1)
    assert await scheduler.statuses(schedule) == ["refused", "refused", "ran"]


@pytest.mark.parametrize("limits", [{"max_running_crawls": 1}])
async def test_times_that_gave_way_to_a_refused_one_are_refused_too(scheduler: Scheduler) -> None:
    other = await scheduler.add('"cron": "* * * * *"')
    await scheduler.pass_minutes(1)
    await scheduler.runtime.scheduling.change(ACCOUNT, other.id, b'{"paused": true}')
    schedule = await scheduler.add('"intervalSeconds": 3600, "catchUp": "all", "overlap": "queue"')
    await scheduler.pass_minutes(3 * 60 + 5)
    assert await scheduler.statuses(schedule) == ["refused"] * 3
    reasons = {run.reason for run in await scheduler.runs(schedule)}
    assert reasons == {"This account may run 1 crawls at once"}


async def test_the_history_is_in_the_order_of_the_due_times(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"intervalSeconds": 3600, "overlap": "cancel_previous", "catchUp": "all"')
    await scheduler.pass_minutes(3 * 60 + 5)
    await scheduler.pass_minutes(60)
    newest_first, _ = await scheduler.runtime.scheduling.list_runs(
        ACCOUNT, schedule.id, before=None, limit=10
    )
    due = [run.due_at for run in newest_first]
    assert due == sorted(due, reverse=True)
    assert [str(run.status) for run in newest_first][::-1] == ["skipped_overlap"] * 2 + ["ran"] * 2


async def test_schedulers_at_once_fire_each_time_once(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "cancel_previous"')
    for _ in range(5):
        await scheduler.clock.advance(60_000)
        decided = await asyncio.gather(*(scheduler.runtime.scheduling.fire_due() for _ in range(4)))
        assert sum(decided) == 1
    assert await scheduler.statuses(schedule) == ["ran"] * 5
    assert len(await scheduler.crawls()) == 5


async def test_a_clock_that_goes_back_repeats_nothing(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "* * * * *", "overlap": "cancel_previous"')
    for _ in range(3):
        await scheduler.pass_minutes(1)
    await scheduler.clock.advance(-5 * 60_000)
    # A change of the times counts anew from now, and so meets minutes that have had their run.
    await scheduler.runtime.scheduling.change(ACCOUNT, schedule.id, b'{"timezone": "Europe/Berlin"}')
    for _ in range(5):
        await scheduler.pass_minutes(1)
    due = [run.due_at for run in await scheduler.runs(schedule)]
    assert len(due) == len(set(due))
    assert due == list(range(due[0], due[-1] + 1, 60_000))
    assert len(await scheduler.crawls()) == len(due)


async def test_a_change_of_the_times_first_decides_what_was_due(scheduler: Scheduler) -> None:
    schedule = await scheduler.add()
    await scheduler.clock.advance(3 * 60_000)
    changed = await scheduler.runtime.scheduling.change(
        ACCOUNT, schedule.id, b'{"cron": null, "intervalSeconds": 3600}'
    )
    assert await scheduler.statuses(schedule) == ["missed", "missed", "ran"]
    assert changed.rule.cron is None
    assert changed.next_due_at == changed.anchor_at + 3_600_000


async def test_an_end_is_the_end(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"cron": "*/2 * * * *", "endAt": "2199-01-01T00:00:00Z"')
    async with scheduler.runtime.database.write() as connection:
        rule = schedule.rule.model_copy(update={"end_at": None}).to_json()
        soon = rule[:-1] + ', "endAt": "2000-01-01T00:00:00Z"}'
        await connection.execute(update(schedules).values(rule=soon))
    await scheduler.pass_minutes(2)
    ended = await scheduler.runtime.scheduling.schedules.get(ACCOUNT, schedule.id)
    assert ended.next_due_at is None
    assert await scheduler.pass_minutes(10) == 0


async def test_one_broken_schedule_stops_no_other(scheduler: Scheduler) -> None:
    broken = await scheduler.add('"cron": "* * * * *", "timezone": "Europe/Berlin"')
    sound = await scheduler.add()
    async with scheduler.runtime.database.write() as connection:
        rule = broken.rule.model_copy(update={"timezone": "Atlantis/Capital"}).to_json()
        await connection.execute(update(schedules).where(schedules.c.id == broken.id).values(rule=rule))
    await scheduler.pass_minutes(1)
    assert (await scheduler.statuses(sound))[-1:] == ["ran"]
    assert await scheduler.statuses(broken) == []


async def test_a_crawl_that_cannot_be_read_is_refused_and_stops_no_other(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await scheduler.add()
    sound = await scheduler.add()
    # As a version wrote it that knows more than this one.
    options = f'{broken.options[:-1]},"wanted":"MARKER-79"}}'
    async with scheduler.runtime.database.write() as connection:
        await connection.execute(update(schedules).where(schedules.c.id == broken.id).values(options=options))
    assert await scheduler.pass_minutes(1) == 2
    (run,) = await scheduler.runs(broken)
    assert (run.status, run.reason) == (
        RunStatus.REFUSED,
        'crawl: this version of the crawler cannot read it: Unrecognized key: "wanted"',
    )
    assert await scheduler.statuses(sound) == ["ran"]
    assert caplog.text.count(broken.id) == 1
    assert "MARKER-79" not in caplog.text
    assert await scheduler.runtime.scheduling.fire_due() == 0
    asked_for = await scheduler.runtime.scheduling.run_now(ACCOUNT, broken.id)
    assert (asked_for.status, asked_for.reason) == (RunStatus.REFUSED, run.reason)
    new = f'{{"crawl": {{"url": "{SEED}", "render": false}}}}'
    await scheduler.runtime.scheduling.change(ACCOUNT, broken.id, new.encode())
    await scheduler.pass_minutes(1)
    assert (await scheduler.statuses(broken))[-1] == "ran"


async def test_a_rule_that_cannot_be_read_stops_no_other_and_is_caught_up_with(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await scheduler.add()
    sound = await scheduler.add('"cron": "* * * * *", "overlap": "cancel_previous"')
    rule = f'{broken.rule.to_json()[:-1]},"wanted":1}}'
    of_broken = update(schedules).where(schedules.c.id == broken.id)
    async with scheduler.runtime.database.write() as connection:
        await connection.execute(of_broken.values(rule=rule))
    for times in (1, 2):
        assert await scheduler.pass_minutes(1) == 1
        told = f'schedule {broken.id} cannot be read; the others go on: Unrecognized key: "wanted"'
        assert caplog.text.count(told) == times
    assert await scheduler.statuses(sound) == ["ran"] * 2
    # A version that knows the field is there again.
    async with scheduler.runtime.database.write() as connection:
        await connection.execute(of_broken.values(rule=broken.rule.to_json()))
    await scheduler.pass_minutes(1)
    assert await scheduler.statuses(broken) == ["missed", "missed", "ran"]


@pytest.mark.parametrize("zone", ["Atlantis/Capital", "no zone"])
async def test_broken_schedules_do_not_take_the_places_of_others(scheduler: Scheduler, zone: str) -> None:
    broken = await scheduler.add('"cron": "* * * * *", "timezone": "Europe/Berlin"')
    sound = await scheduler.add('"intervalSeconds": 3600')
    async with scheduler.runtime.database.write() as connection:
        rows = select(schedules).where(schedules.c.id == broken.id)
        row = dict((await connection.execute(rows)).mappings().one())
        row["rule"] = row["rule"].replace("Europe/Berlin", zone)
        await connection.execute(update(schedules).where(schedules.c.id == broken.id).values(row))
        # More than one look finds, all due before the sound one.
        await connection.execute(insert(schedules), [row | {"id": f"broken-{n}"} for n in range(60)])
    assert await scheduler.pass_minutes(60) == 1
    assert await scheduler.statuses(sound) == ["ran"]


async def test_the_history_goes_with_its_age(scheduler: Scheduler) -> None:
    schedule = await scheduler.add('"intervalSeconds": 86400')
    await scheduler.pass_minutes(24 * 60 + 1)
    await scheduler.pass_minutes(24 * 60)
    assert len(await scheduler.runs(schedule)) == 2
    await scheduler.clock.advance((scheduler.runtime.settings.retention_seconds - 86_400 + 10) * 1000)
    assert await scheduler.runtime.scheduling.delete_old_runs() == 1
    assert len(await scheduler.runs(schedule)) == 1


@pytest.mark.parametrize("limits", [{"max_schedules": 1}])
async def test_schedules_of_an_account_are_bounded(scheduler: Scheduler) -> None:
    await scheduler.add()
    with pytest.raises(InvalidRequest, match="may have 1 schedules"):
        await scheduler.add()


async def test_a_removed_schedule_is_gone_with_its_history(scheduler: Scheduler) -> None:
    schedule = await scheduler.add()
    await scheduler.pass_minutes(1)
    await scheduler.runtime.scheduling.schedules.remove(ACCOUNT, schedule.id)
    with pytest.raises(NotFound):
        await scheduler.runs(schedule)
    assert await scheduler.pass_minutes(5) == 0
    assert list((await scheduler.crawls()).values()) == [CrawlStatus.RUNNING]


async def test_secrets_are_sealed_until_the_schedule_is_removed(scheduler: Scheduler) -> None:
    body = '"crawl": {"url": "http://site.invalid/", "setExtraHTTPHeaders": {"X-Key": "MARKER-77"}}'
    schedule = await scheduler.add(body=body)
    await scheduler.pass_minutes(1)
    (crawl_id,) = await scheduler.crawls()
    async with scheduler.runtime.database.read() as connection:
        for table in ("schedules", "crawls"):
            rows = (await connection.execute(text(f"SELECT * FROM {table}"))).all()
            assert "MARKER-77" not in repr(rows)
        sealed = (await connection.execute(text("SELECT count(*) FROM crawl_secrets"))).scalar_one()
    assert sealed == 1
    await scheduler.end_crawl(crawl_id)
    await scheduler.pass_minutes(1)
    assert await scheduler.statuses(schedule) == ["ran", "ran"]
    assert scheduler.runtime.scheduling.schedules.open_secret(schedule) is not None


async def test_after_sealing_anew_the_old_key_of_a_schedule_can_go(scheduler: Scheduler) -> None:
    schedule = await scheduler.add(
        body='"crawl": {"url": "http://site.invalid/", "setExtraHTTPHeaders": {"X-Key": "MARKER-78"}}'
    )
    (old,) = KeyRing.load(scheduler.runtime.settings)._keys
    new = b"n" * 32
    database = scheduler.runtime.database
    assert await Secrets(database, KeyRing([new, old])).reseal() == 1
    resealed = await scheduler.runtime.scheduling.schedules.get(ACCOUNT, schedule.id)
    renewed = Schedules(database, KeyRing([new]), max_per_account=1)
    assert "MARKER-78" in (renewed.open_secret(resealed) or "")
    # The scheduler still has the old key only, and says so in the run.
    await scheduler.pass_minutes(1)
    (run,) = await scheduler.runs(schedule)
    assert (run.status, run.reason) == (
        RunStatus.REFUSED,
        "No key of CRAWL_SECRET_KEYS opens the secrets of this schedule.",
    )
