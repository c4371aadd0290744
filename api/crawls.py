"""The routes of `/crawl` (contract A): check the request, call the use case, shape the answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from api import schemas
from api.answers import is_id, refusals, success
from api.body import read_body
from api.deps import (
    CacheTtl,
    IdempotencyKey,
    ReadableAccount,
    ServicesNow,
    WholeNumber,
    WritableAccount,
    refuse_repeats,
)
from api.results import encode_page, list_fields
from api.sending import HEADERS, PIECE_BYTES, LongAnswer
from crawler.errors import NotFound
from crawler.model import CrawlStatus, UrlStatus
from crawler.options import parse_options

#: Places in discovery order are 32-bit in the database.
_MAX_CURSOR = 2**31 - 1
#: More records than any crawl may fetch; the size of the answer is bounded by bytes.
_MAX_RECORDS = 100_000
_MAX_LISTED = 1_000

router = APIRouter(dependencies=[Depends(refuse_repeats)])


async def _known_form(crawl_id: Annotated[str, Path(min_length=1, description="id of the crawl")]) -> str:
    """An id of another form than ours is simply unknown; the database need not be asked."""
    if not is_id(crawl_id):
        raise NotFound
    return crawl_id


CrawlId = Annotated[str, Depends(_known_form)]


@router.post("/crawl", response_model=schemas.CreatedAnswer, responses=refusals(403, 408, 413, 415))
async def create_crawl(
    request: Request,
    account: WritableAccount,
    services: ServicesNow,
    idempotency_key: IdempotencyKey,
    _cache_ttl: CacheTtl = 5,
) -> Response:
    """Start a crawl."""
    body = await read_body(request, services.settings)
    options = parse_options(body, now=datetime.now(UTC))
    crawl_id = await services.runtime.service.create(
        account,
        options,
        idempotency_key=idempotency_key,
        is_retry=_is_retry(request),
    )
    return success(crawl_id)


@router.get("/crawl/{crawl_id}", response_model=schemas.CrawlAnswer, responses=refusals())
async def read_crawl(
    account: ReadableAccount,
    crawl_id: CrawlId,
    services: ServicesNow,
    *,
    cursor: Annotated[WholeNumber, Query(le=_MAX_CURSOR)] = 0,
    limit: Annotated[WholeNumber, Query(le=_MAX_RECORDS)] = 50,
    status: schemas.RecordStatus | None = None,
    _cache_ttl: CacheTtl = 5,
) -> Response:
    """A crawl and its records, page by page."""
    wanted = None if status is None else UrlStatus(status)
    page = await services.runtime.service.read(account, crawl_id, cursor=cursor, limit=limit, status=wanted)
    if page.text_bytes <= PIECE_BYTES:
        content = b"".join([piece async for piece in encode_page(page)])
        return Response(content, media_type="application/json", headers=HEADERS)
    return LongAnswer(encode_page(page), page.held_bytes)


@router.delete("/crawl/{crawl_id}", response_model=schemas.CancelledAnswer, responses=refusals(403))
async def cancel_crawl(account: WritableAccount, crawl_id: CrawlId, services: ServicesNow) -> Response:
    """End a running crawl; what is finished stays readable."""
    await services.runtime.service.cancel(account, crawl_id)
    return success({"job_id": crawl_id, "message": "The crawl job was cancelled"})


@router.get("/crawl", response_model=schemas.ListAnswer, responses=refusals())
async def list_crawls(
    account: ReadableAccount,
    services: ServicesNow,
    status: CrawlStatus | None = None,
    cursor: Annotated[str | None, Query(max_length=200, pattern="^[A-Za-z0-9_=-]+$")] = None,
    limit: Annotated[WholeNumber, Query(ge=1, le=_MAX_LISTED)] = 50,
) -> Response:
    """Crawls of the account, newest first."""
    crawls, next_cursor = await services.runtime.service.list_crawls(
        account, status=status, cursor=cursor, limit=limit
    )
    result: dict[str, object] = {"crawls": [list_fields(crawl) for crawl in crawls]}
    if next_cursor is not None:
        result["cursor"] = next_cursor
    return success(result)


@router.get("/crawl/{crawl_id}/receipt", response_model=schemas.ReceiptAnswer, responses=refusals())
async def read_receipt(account: ReadableAccount, crawl_id: CrawlId, services: ServicesNow) -> Response:
    """Where every URL that the crawl found has gone, and why."""
    reasons = await services.runtime.service.receipt(account, crawl_id)
    return success(_receipt(reasons))


def _receipt(reasons: Mapping[str, Mapping[str, int]]) -> dict[str, object]:
    shown = (
        UrlStatus.COMPLETED,
        UrlStatus.ERRORED,
        UrlStatus.DISALLOWED,
        UrlStatus.SKIPPED,
        UrlStatus.CANCELLED,
        UrlStatus.QUEUED,
    )
    counts = {str(status): sum(reasons.get(status, {}).values()) for status in shown}
    named = {
        status: {reason: number for reason, number in by.items() if reason} for status, by in reasons.items()
    }
    return {
        "discovered": sum(counts.values()),
        **counts,
        "reasons": {status: by for status, by in named.items() if by},
    }


def _is_retry(request: Request) -> bool:
    """Cloudflare's SDKs repeat a POST by themselves and only count the repeats; the first one may have arrived."""
    count = request.headers.get("x-stainless-retry-count", "0")
    return count.isascii() and count.isdigit() and int(count[:9]) > 0
