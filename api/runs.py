"""The routes between two runs of one site, an addition to Cloudflare's API: retry, continue, changes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from api import schemas
from api.answers import is_id, refusals, success
from api.body import read_body
from api.crawls import CrawlId
from api.deps import (
    IdempotencyKey,
    ReadableAccount,
    ServicesNow,
    WholeNumber,
    WritableAccount,
    refuse_repeats,
)
from api.run_schemas import ChangesAnswer
from crawler.changes import ComparedPage, Diff, PageChange
from crawler.errors import InvalidRequest
from crawler.options.continuation import parse_continuation

#: Twice the places that one crawl may have.
_MAX_CURSOR = 2**32 - 1
_MAX_PAGES = 1_000

router = APIRouter(dependencies=[Depends(refuse_repeats)])


@router.post("/crawl/{crawl_id}/retry", response_model=schemas.CreatedAnswer, responses=refusals(403))
async def retry_crawl(
    account: WritableAccount, crawl_id: CrawlId, services: ServicesNow, key: IdempotencyKey
) -> Response:
    """Crawl the errored pages of an ended crawl again, in a crawl of their own."""
    return success(await services.runtime.runs.retry(account, crawl_id, idempotency_key=key))


@router.post(
    "/crawl/{crawl_id}/continue",
    response_model=schemas.CreatedAnswer,
    responses=refusals(403, 408, 413, 415),
)
async def continue_crawl(
    request: Request, account: WritableAccount, crawl_id: CrawlId, services: ServicesNow, key: IdempotencyKey
) -> Response:
    """Crawl what an ended crawl did not come to, in a crawl of its own."""
    wanted = parse_continuation(await read_body(request, services.settings))
    return success(await services.runtime.runs.go_on(account, crawl_id, wanted.limit, idempotency_key=key))


@router.get("/crawl/{crawl_id}/changes", response_model=ChangesAnswer, responses=refusals())
async def read_changes(
    account: ReadableAccount,
    crawl_id: CrawlId,
    services: ServicesNow,
    *,
    against: Annotated[
        str | None, Query(description="the crawl to compare with, instead of the one before")
    ] = None,
    status: Annotated[PageChange | None, Query(description="only these pages")] = None,
    cursor: Annotated[WholeNumber, Query(le=_MAX_CURSOR)] = 0,
    limit: Annotated[WholeNumber, Query(ge=1, le=_MAX_PAGES)] = 100,
    diff: Annotated[bool, Query(description="show what changed in the Markdown")] = False,
) -> Response:
    """What became of every page since the crawl before."""
    if against is not None and not is_id(against):
        raise InvalidRequest("against: there is no such crawl")
    runs = services.runtime.runs
    comparison = await runs.compare(
        account, crawl_id, against=against, cursor=cursor, limit=limit, change=status
    )
    next_cursor = comparison.next_cursor
    if diff:
        pages, place = [], 0
        async for page, difference in runs.diffs(comparison):
            pages.append(_page_fields(page, difference))
            place = page.place
        if len(pages) < len(comparison.pages):
            next_cursor = place
    else:
        pages = [_page_fields(page, None) for page in comparison.pages]
    result: dict[str, object] = {
        "id": comparison.crawl_id,
        "against": comparison.against_id,
        "crawlStatus": comparison.crawl_status,
        "pages": pages,
    }
    if comparison.counts is not None:
        result["counts"] = {change.value: number for change, number in comparison.counts.items()}
    if next_cursor is not None:
        result["cursor"] = str(next_cursor)
    return success(result)


def _page_fields(page: ComparedPage, diff: Diff | None) -> dict[str, object]:
    """What is not known is left out, never null."""
    fields: dict[str, object] = {"url": page.url, "status": page.change}
    if page.title:
        fields["title"] = page.title
    if page.http_status is not None:
        fields["httpStatus"] = page.http_status
    if page.reason:
        fields["reason"] = page.reason
    if diff is not None:
        fields["diff"] = diff.text
        if not diff.is_whole:
            fields["diffCut"] = True
    return fields
