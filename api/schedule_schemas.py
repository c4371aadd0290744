"""The answers about schedules, for the OpenAPI document only: routes write JSON themselves (`api.schedules`)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.schemas import Absent, Described, Success
from crawler.schedules import CatchUp, Overlap, RunStatus


class _Rule(Described):
    id: str
    name: str
    cron: str | Absent = Field(None, description="this or intervalSeconds")
    timezone: str | Absent = None
    interval_seconds: int | Absent = None
    jitter_seconds: int
    start_at: str | Absent = None
    end_at: str | Absent = None
    overlap: Overlap
    catch_up: CatchUp
    paused: bool
    created_at: str
    next_due_at: str | None = Field(description="null: never again")
    last_crawl_id: str | None


class ScheduleItem(_Rule):
    """A schedule."""

    crawl: dict[str, Any] = Field(description="the request of its crawls, without secrets")


class ListedSchedule(_Rule):
    """A schedule in the list."""

    url: str = Field(description="where its crawls start")


class ScheduleList(Described):
    """Schedules of an account, newest first."""

    schedules: list[ListedSchedule]


class Removed(Described):
    """What a removed schedule is answered with."""

    id: str
    message: str


class RunItem(Described):
    """What became of one due time."""

    id: int
    due_at: str
    status: RunStatus
    manual: bool = Field(description="asked for, not due")
    decided_at: str
    crawl_id: str | Absent = Field(None, description="the crawl that it started")
    reason: str | Absent = Field(None, description="why it was refused")


class RunList(Described):
    """Runs of a schedule, newest first."""

    runs: list[RunItem]
    cursor: str | Absent = Field(None, description="where the next page begins; absent on the last one")


class ScheduleAnswer(Success):
    """A schedule."""

    result: ScheduleItem


class SchedulesAnswer(Success):
    """Schedules of an account."""

    result: ScheduleList


class RemovedAnswer(Success):
    """The schedule was removed."""

    result: Removed


class RunAnswer(Success):
    """A run of a schedule."""

    result: RunItem


class RunsAnswer(Success):
    """Runs of a schedule."""

    result: RunList
