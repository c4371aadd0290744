"""The answers, for the OpenAPI document only: routes write JSON themselves (`api.results`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from crawler.model import CrawlStatus

#: `str | Absent`: a field that is left out where there is nothing to say, and is never null.
Absent = SkipJsonSchema[None]
RecordStatus = Literal["queued", "completed", "errored", "disallowed", "skipped", "cancelled"]


class Described(BaseModel):
    """An object with camelCase names."""

    model_config = ConfigDict(alias_generator=to_camel)


class ErrorItem(Described):
    """One problem."""

    code: int
    message: str


class ErrorAnswer(Described):
    """Every answer that is not a success."""

    success: Literal[False]
    errors: list[ErrorItem]
    messages: list[Any]
    result: None


class Success(Described):
    """The envelope of every success."""

    success: Literal[True]
    errors: list[Any]
    messages: list[Any]


class CreatedAnswer(Success):
    """The crawl was accepted."""

    result: str = Field(description="id of the crawl")


class Metadata(Described):
    """What the page answered; absent for URLs that were never fetched."""

    status: int = Field(description="HTTP status")
    url: str = Field(description="URL after redirects")
    title: str | Absent = None
    last_modified: str | Absent = Field(None, description="the page's Last-Modified as it came")


class RecordItem(Described):
    """One URL of a crawl."""

    url: str = Field(description="as it was found, before redirects")
    status: RecordStatus
    metadata: Metadata | Absent = None
    html: str | Absent = None
    markdown: str | Absent = None
    answer: dict[str, Any] | Absent = Field(None, alias="json", description="the answer to jsonOptions")
    json_source: Literal["model", "structured-data"] | Absent = Field(None, description="where json is from")
    json_reason: str | Absent = Field(None, description="why there is no json")
    json_model: str | Absent = Field(None, description="the model that was asked last, `provider/model`")
    json_tokens: dict[str, int] | Absent = Field(None, description="what the page cost: `input` and `output`")
    json_input_cut: bool | Absent = Field(
        None, description="the model has seen only the beginning of the page"
    )
    cache_status: Literal["hit", "revalidated", "not_due"] | Absent = Field(
        None, description="where the page was not fetched: what stands in its place"
    )
    age: int | Absent = Field(None, description="then: seconds since it was fetched or last confirmed")
    reason: str | Absent = Field(
        None, description="the rule that decided, for records that are skipped, disallowed or errored"
    )
    message: str | Absent = Field(None, description="the reason in words")


class CrawlResult(Described):
    """A crawl and some of its records, in discovery order."""

    id: str
    status: CrawlStatus
    browser_seconds_used: float
    total: int = Field(description="URLs admitted so far, without skipped ones")
    finished: int
    skipped: int
    error: str | Absent = Field(None, description="why the crawl as a whole failed")
    parent_id: str | Absent = Field(None, description="the crawl that this one continues or retries")
    cursor: str | Absent = Field(None, description="where the next page begins; absent on the last one")
    records: list[RecordItem]


class CrawlAnswer(Success):
    """A crawl."""

    result: CrawlResult


class Cancelled(BaseModel):
    """What a cancelled crawl is answered with."""

    job_id: str
    message: str


class CancelledAnswer(Success):
    """The crawl was cancelled."""

    result: Cancelled


class CrawlItem(Described):
    """A crawl in the list."""

    id: str
    status: CrawlStatus
    browser_seconds_used: float
    total: int
    finished: int
    skipped: int
    error: str | Absent = None
    parent_id: str | Absent = None
    url: str
    created_at: str
    ended_at: str | None


class CrawlList(Described):
    """Crawls of an account, newest first."""

    crawls: list[CrawlItem]
    cursor: str | Absent = Field(None, description="where the next page begins; absent on the last one")


class ListAnswer(Success):
    """Crawls of an account."""

    result: CrawlList


class Receipt(Described):
    """Where every URL that a crawl found has gone."""

    discovered: int = Field(description="all records; the sum of the statuses")
    completed: int
    errored: int
    disallowed: int
    skipped: int
    cancelled: int
    queued: int
    reasons: dict[str, dict[str, int]] = Field(description="by status, the records by the rule that decided")


class ReceiptAnswer(Success):
    """The receipt of a crawl."""

    result: Receipt
