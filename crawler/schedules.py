"""When a schedule is due, and what becomes of each due time. Pure: the clock comes from the caller.

Cron expressions have the five fields of Debian's cron(8), and its rules where the clock is changed: a job whose
minute and hour are both given runs once for every time named, at the end of the gap if its time is skipped and on the
first pass if its time comes twice; any other job runs whenever its fields match, so twice in a doubled hour and not
at all in a skipped one. Intervals count real seconds and know no zones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from itertools import chain, count
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from crawler.options.wire import Closed, Whole
from crawler.settings import Settings

MAX_NAME_CHARS = 200
#: A leap year.
MAX_INTERVAL_SECONDS = 366 * 86_400
_MAX_CRON_CHARS = 200
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Nobody plans further; arithmetic with dates ends in the year 9999.
_LAST_MOMENT = datetime(2200, 1, 1, tzinfo=UTC)


class Overlap(StrEnum):
    """What to do when a schedule is due while the crawl that it started last is still running."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_PREVIOUS = "cancel_previous"


class CatchUp(StrEnum):
    """Which due times that went by while no scheduler was there are made up for."""

    SKIP = "skip"
    LATEST = "latest"
    ALL = "all"


class RunStatus(StrEnum):
    """What became of one due time. Every one is final but QUEUED."""

    #: A crawl was started.
    RAN = "ran"
    #: Waits for the end of the crawl before.
    QUEUED = "queued"
    SKIPPED_OVERLAP = "skipped_overlap"
    SKIPPED_PAUSED = "skipped_paused"
    #: No scheduler was there in time, and the catch-up policy does not make up for it.
    MISSED = "missed"
    #: The crawl was not accepted; the run says why.
    REFUSED = "refused"


def _cron(text: str) -> str:
    fields = text.split()
    if len(fields) != 5:
        raise ValueError("needs five fields: minute, hour, day of month, month, day of week")
    try:
        CronSim(text, _EPOCH)
    except CronSimError as error:
        message = f"{str(error).removeprefix('Bad ')} is not valid"
        raise ValueError(message) from error
    return " ".join(fields)


def _moment(moment: datetime) -> datetime:
    if not _EPOCH <= moment <= _LAST_MOMENT:
        raise ValueError("lies beyond the years 1970 to 2199")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_moment)]


class ScheduleRule(Closed):
    """When to crawl: what a schedule's owner may set besides the crawl. Wire form and database column alike."""

    name: Annotated[str, StringConstraints(max_length=MAX_NAME_CHARS)] = Field(
        "", description="a note for its owner"
    )
    cron: Annotated[str, StringConstraints(max_length=_MAX_CRON_CHARS), AfterValidator(_cron)] | None = Field(
        None, description="minute, hour, day of month, month, day of week", examples=["30 3 * * *"]
    )
    timezone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,64}$")] | None = Field(
        None, description="IANA zone of the cron expression; UTC if left out"
    )
    interval_seconds: Annotated[Whole, Field(ge=1, le=MAX_INTERVAL_SECONDS)] | None = Field(
        None, description="instead of cron"
    )
    jitter_seconds: Annotated[
        Whole, Field(ge=0, description="with an interval: each time is later by up to so much")
    ] = 0
    start_at: Moment | None = Field(None, description="not due before; intervals are counted from here")
    end_at: Moment | None = Field(None, description="not due after")
    overlap: Overlap = Field(Overlap.SKIP, description="when due while its last crawl is running")
    catch_up: CatchUp = Field(CatchUp.LATEST, description="which times missed in a downtime to make up for")
    paused: bool = Field(False, description="due times are recorded, and nothing is started")

    def to_json(self) -> str:
        """The rule in wire form."""
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls.model_validate_json(text)

    def has_timing_of(self, other: ScheduleRule) -> bool:
        """Whether both are due at the same times."""
        names = ("cron", "timezone", "interval_seconds", "jitter_seconds", "start_at", "end_at")
        return all(getattr(self, name) == getattr(other, name) for name in names)


@dataclass(frozen=True, slots=True)
class Timing:
    """The due times of one schedule, in milliseconds since the epoch.

    The same three values give the same times, however often and by however many processes they are asked.
    """

    rule: ScheduleRule
    #: Intervals are counted from here, unless the rule names a start.
    anchor_at: int
    #: Spreads the jitter: schedules of the same interval are due at different times.
    seed: str

    def after(self, moment: int) -> Iterator[int]:
        """Due times later than `moment`, each later than the one before.

        Intervals are due at the start that the rule names, and otherwise one interval after the anchor.
        """
        if self.rule.start_at is not None:
            moment = max(moment, to_ms(self.rule.start_at) - 1)
        end_at = to_ms(self.rule.end_at or _LAST_MOMENT)
        for at in self._by_interval(moment) if self.rule.cron is None else self._by_cron(moment):
            if at > end_at:
                return
            yield at

    def _by_interval(self, moment: int) -> Iterator[int]:
        assert self.rule.interval_seconds is not None
        interval = self.rule.interval_seconds * 1000
        anchor, first = self.anchor_at, 1
        if self.rule.start_at is not None:
            anchor, first = to_ms(self.rule.start_at), 0
        for number in count(max((moment - anchor) // interval, first)):
            at = anchor + number * interval + self._jitter(number)
            # The jitter may put the first of them after `moment`, or leave it before.
            if at > moment:
                yield at

    def _jitter(self, number: int) -> int:
        digest = sha256(f"{self.seed}:{number}".encode()).digest()
        return int.from_bytes(digest[:8]) % (self.rule.jitter_seconds * 1000 + 1)

    def _by_cron(self, moment: int) -> Iterator[int]:
        assert self.rule.cron is not None
        start = from_ms(moment).astimezone(ZoneInfo(self.rule.timezone or "UTC"))
        latest = moment
        for found in CronSim(self.rule.cron, start):
            at = to_ms(found)
            # In the second pass of a doubled hour the first pass is found once more.
            if at > latest:
                latest = at
                yield at


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the scheduler, the same for all schedules."""

    #: How late a due time may be decided and still count as on time.
    grace_ms: int
    #: Most missed due times that CatchUp.ALL makes up for.
    catch_up_runs: int
    #: Most runs of one schedule that wait for the end of the one before.
    queued_runs: int
    #: Older runs are forgotten, so older due times are not recorded either.
    history_ms: int

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """The bounds in the settings."""
        return cls(
            grace_ms=round(settings.schedule_grace_seconds * 1000),
            catch_up_runs=settings.max_catch_up_runs,
            queued_runs=settings.max_queued_runs,
            history_ms=settings.retention_seconds * 1000,
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """Due times that wait for a decision, oldest first, and what comes after them."""

    times: tuple[int, ...]
    #: Some more due times that are left for later: whether one is the latest depends on them.
    ahead: int
    #: What is due next, now or later; None: never again.
    following: int | None


def list_backlog(timing: Timing, first: int, now: int, limits: Limits, *, batch: int) -> Backlog:
    """Up to `batch` due times from `first`, which is one, until now."""
    horizon = now - limits.history_ms
    times = chain([first] if first >= horizon else [], timing.after(max(first, horizon)))
    due: list[int] = []
    following = None
    for at in times:
        if at > now or len(due) == batch + limits.catch_up_runs:
            following = at
            break
        due.append(at)
    if len(due) > batch:
        following = due[batch]
    return Backlog(tuple(due[:batch]), max(0, len(due) - batch), following)


@dataclass(frozen=True, slots=True)
class Decision:
    """A due time and its fate. RAN means: start a crawl now; there is at most one such among decisions."""

    due_at: int
    status: RunStatus
    #: Whether it may run as far as pause and lateness go: one that does not gives way to another crawl.
    is_runnable: bool = False


def decide(
    backlog: Backlog, rule: ScheduleRule, now: int, limits: Limits, *, is_running: bool, queued: int
) -> list[Decision]:
    """What becomes of each due time.

    `is_running`: the crawl that the schedule started last has not ended. `queued`: runs that wait already.
    """
    if rule.paused:
        return [Decision(at, RunStatus.SKIPPED_PAUSED) for at in backlog.times]
    made_up = {CatchUp.SKIP: 0, CatchUp.LATEST: 1, CatchUp.ALL: limits.catch_up_runs}[rule.catch_up]
    # A late time is made up for if fewer than `made_up` due times follow it.
    first_made_up = len(backlog.times) + backlog.ahead - made_up
    runnable = [
        at
        for position, at in enumerate(backlog.times)
        if position >= first_made_up or now - at <= limits.grace_ms
    ]
    fates = dict(zip(runnable, _resolve_overlap(rule, runnable, limits, is_running, queued), strict=True))
    return [Decision(at, fates.get(at, RunStatus.MISSED), at in fates) for at in backlog.times]


def _resolve_overlap(
    rule: ScheduleRule, runnable: Sequence[int], limits: Limits, is_running: bool, queued: int
) -> list[RunStatus]:
    fates = [RunStatus.SKIPPED_OVERLAP] * len(runnable)
    if not runnable:
        return fates
    if rule.overlap is Overlap.CANCEL_PREVIOUS:
        fates[-1] = RunStatus.RAN
        return fates
    started = 0
    if not is_running and not queued:
        fates[0] = RunStatus.RAN
        started = 1
    if rule.overlap is Overlap.QUEUE:
        places = max(0, limits.queued_runs - queued)
        waiting = len(fates[started : started + places])
        fates[started : started + places] = [RunStatus.QUEUED] * waiting
    return fates


def is_zone(name: str) -> bool:
    """Whether the time zone database that this process reads knows the name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        # A LookupError is an unknown name, an OSError the name of a folder of zones.
        return False
    return True


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return (moment.astimezone(UTC) - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """The moment in UTC."""
    return _EPOCH + milliseconds * _MILLISECOND
