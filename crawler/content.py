"""What a response becomes: its type decides who reads it, the request decides what is kept of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from crawler.ai.extraction import JsonExtractor
from crawler.ai.prompt import PageText
from crawler.extract.content_type import classify
from crawler.extract.converter import Converter, Extract
from crawler.extract.encoding import decode
from crawler.jobs import Job
from crawler.model import ErrorCode, Failure, Found, Outcome, Rendered, Response, UrlStatus
from crawler.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Content:
    html: str
    title: str
    links: Iterable[str]
    markdown: str | None
    content_hash: str


class Contents:
    """Adds content to outcomes whose status is known from the answer's HTTP status. One per process."""

    def __init__(self, settings: Settings, converter: Converter, extractor: JsonExtractor) -> None:
        self._settings = settings
        self._converter = converter
        self._extractor = extractor

    async def add_static(self, outcome: Outcome, job: Job, response: Response) -> Outcome:
        """A body as it came: classify, parse, convert. What cannot be read makes the outcome errored."""
        if not response.body:
            return outcome
        content_type = response.headers.get("content-type")
        kind = classify(content_type, response.body, response.headers.get("content-disposition"))
        if isinstance(kind, Failure):
            if outcome.status is UrlStatus.ERRORED:
                return outcome
            return replace(outcome, status=UrlStatus.ERRORED, reason=kind.code)
        html = decode(response.body, content_type)
        extract = await self._converter.extract(
            html, response.url, view=job.view, structured="json" in job.options.formats
        )
        if isinstance(extract, Failure):
            return replace(outcome, status=UrlStatus.ERRORED, reason=extract.code)
        if extract.fault is not None:
            log.info("%s has plain text for Markdown: %s", outcome.lease.url, extract.fault.detail)
        page = extract.page
        links = [link.url for link in page.links]
        outcome = self._with_content(
            outcome, job, _Content(html, page.title, links, extract.markdown, page.content_hash)
        )
        return await self._with_json(outcome, job, extract)

    async def add_rendered(self, outcome: Outcome, job: Job, rendered: Rendered) -> Outcome:
        """A page after its scripts ran: the browser has named its title and links."""
        extract = await self._converter.extract(
            rendered.html, rendered.response.url, view=job.view, structured="json" in job.options.formats
        )
        if isinstance(extract, Failure):
            return replace(outcome, status=UrlStatus.ERRORED, reason=extract.code)
        content = _Content(
            rendered.html, rendered.title, rendered.links, extract.markdown, extract.page.content_hash
        )
        return await self._with_json(self._with_content(outcome, job, content), job, extract)

    def _with_content(self, outcome: Outcome, job: Job, content: _Content) -> Outcome:
        """Add what the crawl asked for."""
        outcome = replace(outcome, title=content.title, content_hash=content.content_hash or None)
        html = content.html if "html" in job.options.formats else None
        markdown = content.markdown if "markdown" in job.options.formats else None
        if len(html or "") + len(markdown or "") > self._settings.max_record_bytes:
            return replace(outcome, status=UrlStatus.ERRORED, reason=ErrorCode.TOO_LARGE)
        outcome = replace(outcome, html=html, markdown=markdown, links=tuple(content.links))
        return replace(outcome, found=follow(outcome, job))

    async def _with_json(self, outcome: Outcome, job: Job, extract: Extract) -> Outcome:
        """Add the answer to `jsonOptions`. Error pages are not worth a question."""
        options = job.options.json_options
        if "json" not in job.options.formats or options is None or outcome.status is not UrlStatus.COMPLETED:
            return outcome
        page = PageText(outcome.final_url or outcome.lease.url, outcome.title or "", extract.markdown or "")
        made = await self._extractor.extract(job.crawl_id, options, page, extract.structured)
        return replace(outcome, json=made.json, details={**outcome.details, **made.details})


def follow(outcome: Outcome, job: Job) -> tuple[Found, ...]:
    """A page's links for the frontier; those of error pages and of pages off the site are not followed."""
    if outcome.status is not UrlStatus.COMPLETED or job.options.source == "sitemaps":
        return ()
    if job.scope.decide(outcome.final_url or outcome.lease.url) in {"external", "subdomain"}:
        return ()
    return job.find(outcome.links)
