"""The answers about runs of one site, for the OpenAPI document only."""

from __future__ import annotations

from pydantic import Field

from api.schemas import Absent, Described, Success
from crawler.changes import PageChange
from crawler.model import CrawlStatus


class PageItem(Described):
    """A page of either crawl."""

    url: str
    status: PageChange
    title: str | Absent = None
    http_status: int | Absent = Field(None, description="what the later crawl got")
    reason: str | Absent = Field(None, description="why the page is removed or unknown")
    diff: str | Absent = Field(None, description="unified diff of the Markdown of a changed page")
    diff_cut: bool | Absent = Field(None, description="true where the diff is longer than what is shown")


class ChangesResult(Described):
    """What became of every page since the crawl before, in discovery order, removed pages last."""

    id: str
    against: str | None = Field(description="the crawl that it is compared with; null: there is none before")
    crawl_status: CrawlStatus
    counts: dict[PageChange, int] | Absent = Field(None, description="of all pages; only on the first page")
    pages: list[PageItem]
    cursor: str | Absent = Field(None, description="where the next page begins; absent on the last one")


class ChangesAnswer(Success):
    """Two crawls compared."""

    result: ChangesResult
