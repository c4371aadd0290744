"""The routes of schedules, an addition to Cloudflare's API: the same prefixes, tokens, envelope and errors."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from api import schedule_schemas as schemas
from api.answers import is_id, refusals, success
from api.body import read_body
from api.deps import ReadableAccount, ServicesNow, WholeNumber, WritableAccount, refuse_repeats
from api.results import iso
from crawler.errors import NotFound
from crawler.store.schedule_runs import Run
from crawler.store.schedules import Schedule

_MAX_LISTED = 1_000
#: Runs are numbered with 64 bits.
_MAX_CURSOR = 2**63 - 1

router = APIRouter(dependencies=[Depends(refuse_repeats)])


def _known_form(schedule_id: Annotated[str, Path(min_length=1, description="id of the schedule")]) -> str:
    if not is_id(schedule_id):
        raise NotFound("Schedule not found")
    return schedule_id


ScheduleId = Annotated[str, Depends(_known_form)]
Body = (403, 408, 413, 415)


@router.post("/schedules", response_model=schemas.ScheduleAnswer, responses=refusals(*Body))
async def add_schedule(request: Request, account: WritableAccount, services: ServicesNow) -> Response:
    """Crawl again and again."""
    body = await read_body(request, services.settings)
    return success(_fields(await services.runtime.scheduling.add(account, body)))


@router.get("/schedules", response_model=schemas.SchedulesAnswer, responses=refusals())
async def list_schedules(account: ReadableAccount, services: ServicesNow) -> Response:
    """All schedules of the account, newest first, each with the start of its crawl only."""
    schedules = await services.runtime.scheduling.schedules.list_all(account)
    return success({"schedules": [_list_fields(schedule) for schedule in schedules]})


@router.get("/schedules/{schedule_id}", response_model=schemas.ScheduleAnswer, responses=refusals())
async def read_schedule(account: ReadableAccount, schedule_id: ScheduleId, services: ServicesNow) -> Response:
    """A schedule; secrets of its crawl are not shown."""
    return success(_fields(await services.runtime.scheduling.schedules.get(account, schedule_id)))


@router.patch("/schedules/{schedule_id}", response_model=schemas.ScheduleAnswer, responses=refusals(*Body))
async def change_schedule(
    request: Request, account: WritableAccount, schedule_id: ScheduleId, services: ServicesNow
) -> Response:
    """Change the fields that the body names; null takes one away. `crawl` is replaced as a whole."""
    body = await read_body(request, services.settings)
    return success(_fields(await services.runtime.scheduling.change(account, schedule_id, body)))


@router.delete("/schedules/{schedule_id}", response_model=schemas.RemovedAnswer, responses=refusals(403))
async def remove_schedule(
    account: WritableAccount, schedule_id: ScheduleId, services: ServicesNow
) -> Response:
    """Forget a schedule and its history; a crawl that it has started goes on."""
    await services.runtime.scheduling.schedules.remove(account, schedule_id)
    return success({"id": schedule_id, "message": "The schedule was removed"})


@router.get("/schedules/{schedule_id}/runs", response_model=schemas.RunsAnswer, responses=refusals())
async def list_runs(
    account: ReadableAccount,
    schedule_id: ScheduleId,
    services: ServicesNow,
    cursor: Annotated[WholeNumber | None, Query(le=_MAX_CURSOR)] = None,
    limit: Annotated[WholeNumber, Query(ge=1, le=_MAX_LISTED)] = 50,
) -> Response:
    """What became of each due time, newest first."""
    runs, following = await services.runtime.scheduling.list_runs(
        account, schedule_id, before=cursor, limit=limit
    )
    result: dict[str, object] = {"runs": [_run_fields(run) for run in runs]}
    if following is not None:
        result["cursor"] = str(following)
    return success(result)


@router.post("/schedules/{schedule_id}/run", response_model=schemas.RunAnswer, responses=refusals(403))
async def run_schedule(account: WritableAccount, schedule_id: ScheduleId, services: ServicesNow) -> Response:
    """Start the crawl now, paused or not; the overlap policy holds. A refusal is in the run."""
    return success(_run_fields(await services.runtime.scheduling.run_now(account, schedule_id)))


def _fields(schedule: Schedule) -> dict[str, object]:
    return {**_rule_fields(schedule), "crawl": json.loads(schedule.options)}


def _list_fields(schedule: Schedule) -> dict[str, object]:
    return {**_rule_fields(schedule), "url": json.loads(schedule.options)["url"]}


def _rule_fields(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        **json.loads(schedule.rule.to_json()),
        "createdAt": iso(schedule.created_at),
        "nextDueAt": None if schedule.next_due_at is None else iso(schedule.next_due_at),
        "lastCrawlId": schedule.last_crawl_id,
    }


def _run_fields(run: Run) -> dict[str, object]:
    fields: dict[str, object] = {
        "id": run.id,
        "dueAt": iso(run.due_at),
        "status": run.status,
        "manual": run.is_manual,
        "decidedAt": iso(run.decided_at),
    }
    if run.crawl_id is not None:
        fields["crawlId"] = run.crawl_id
    if run.reason:
        fields["reason"] = run.reason
    return fields
