"""What a response becomes: its type decides who reads it, the request decides what is kept of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from crawler.ai.extraction import JsonExtractor
from crawler.ai.prompt import PageText
from crawler.extract.content_type import DocumentKind, classify, media_type
from crawler.extract.converter import Converter
from crawler.extract.documents import Documents
from crawler.extract.encoding import decode
from crawler.extract.front_matter import OPENING, front_matter
from crawler.jobs import Job
from crawler.model import ErrorCode, Failure, Found, Outcome, Rendered, Response, UrlStatus
from crawler.settings import Settings
from crawler.structured.data import StructuredData

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Content:
    title: str
    links: tuple[str, ...]
    markdown: str | None
    content_hash: str
    details: Mapping[str, JsonValue]
    #: None for what is no page: its Markdown is all that there is.
    html: str | None = None
    #: Whether the Markdown begins with front matter of its author's.
    has_front_matter: bool = False
    structured: StructuredData = field(default_factory=StructuredData)


class Contents:
    """Adds content to outcomes whose status is known from the answer's HTTP status. One per process."""

    def __init__(
        self, settings: Settings, converter: Converter, documents: Documents, extractor: JsonExtractor
    ) -> None:
        self._settings = settings
        self._converter = converter
        self._documents = documents
        self._extractor = extractor

    async def add_static(self, outcome: Outcome, job: Job, response: Response) -> Outcome:
        """A body as it came: classify, parse, convert. What cannot be read makes the outcome errored."""
        if not response.body:
            return outcome
        headers = response.headers
        content_type = headers.get("content-type")
        kind = classify(content_type, response.body, headers.get("content-disposition"), url=response.url)
        if kind == "html":
            html = decode(response.body, content_type)
            return await self._add_page(outcome, job, html=html, response=response)
        outcome = replace(outcome, details=_file_details(content_type, len(response.body)))
        if isinstance(kind, DocumentKind):
            return await self._add_document(outcome, job, response, kind)
        if outcome.status is UrlStatus.ERRORED:
            return outcome
        return replace(outcome, status=UrlStatus.ERRORED, reason=kind.code)

    async def add_rendered(self, outcome: Outcome, job: Job, rendered: Rendered) -> Outcome:
        """A page after its scripts ran: the browser has named its title and links."""
        return await self._add_page(
            outcome, job, html=rendered.html, response=rendered.response, rendered=rendered
        )

    async def _add_page(
        self, outcome: Outcome, job: Job, *, html: str, response: Response, rendered: Rendered | None = None
    ) -> Outcome:
        extract = await self._converter.extract(
            html,
            response.url if rendered is None else rendered.url,
            view=job.view,
            # A browser writes a document that was sent as XML out as XML.
            content_type=response.headers.get("content-type"),
            structured="json" in job.options.formats,
        )
        if isinstance(extract, Failure):
            return replace(outcome, status=UrlStatus.ERRORED, reason=extract.code)
        if extract.fault is not None:
            log.info("%s has plain text for Markdown: %s", outcome.lease.url, extract.fault.detail)
        page = extract.page
        details = page.metadata.to_details()
        if extract.words is not None:
            details["wordCount"] = extract.words
        content = _Content(
            title=page.title if rendered is None else rendered.title,
            links=tuple(link.url for link in page.links) if rendered is None else rendered.links,
            markdown=extract.markdown,
            content_hash=page.content_hash,
            details=details,
            html=html,
            structured=extract.structured,
        )
        return await self._with_json(self._with_content(outcome, job, content), job, content)

    async def _add_document(
        self, outcome: Outcome, job: Job, response: Response, kind: DocumentKind
    ) -> Outcome:
        found = await self._documents.read(
            response.body, kind, url=response.url, content_type=response.headers.get("content-type")
        )
        if isinstance(found, Failure):
            log.info("%s cannot be read: %s", outcome.lease.url, found.detail)
            if outcome.status is UrlStatus.ERRORED:
                return outcome
            return replace(outcome, status=UrlStatus.ERRORED, reason=found.code)
        content = _Content(
            title=found.title,
            links=found.links,
            markdown=found.markdown,
            content_hash=found.content_hash,
            details={**outcome.details, **found.details},
            has_front_matter=kind is DocumentKind.MARKDOWN and found.markdown.startswith(OPENING),
        )
        return await self._with_json(self._with_content(outcome, job, content), job, content)

    def _with_content(self, outcome: Outcome, job: Job, content: _Content) -> Outcome:
        """Add what the crawl asked for."""
        outcome = replace(
            outcome,
            title=content.title,
            content_hash=content.content_hash or None,
            details=content.details,
        )
        html = content.html if "html" in job.options.formats else None
        markdown = content.markdown if "markdown" in job.options.formats else None
        wants_front_matter = job.options.markdown_options.front_matter and not content.has_front_matter
        if markdown is not None and wants_front_matter:
            markdown = front_matter(content.title, str(content.details.get("description", ""))) + markdown
        if len(html or "") + len(markdown or "") > self._settings.max_record_bytes:
            return replace(outcome, status=UrlStatus.ERRORED, reason=ErrorCode.TOO_LARGE)
        outcome = replace(outcome, html=html, markdown=markdown, links=content.links)
        return replace(outcome, found=follow(outcome, job))

    async def _with_json(self, outcome: Outcome, job: Job, content: _Content) -> Outcome:
        """Add the answer to `jsonOptions`. Error pages are not worth a question."""
        options = job.options.json_options
        if "json" not in job.options.formats or options is None or outcome.status is not UrlStatus.COMPLETED:
            return outcome
        page = PageText(outcome.final_url or outcome.lease.url, content.title, content.markdown or "")
        made = await self._extractor.extract(job.crawl_id, options, page, content.structured)
        return replace(outcome, json=made.json, details={**outcome.details, **made.details})


def _file_details(content_type: str | None, length: int) -> dict[str, JsonValue]:
    """What the record of a body that is no page says about it."""
    declared = media_type(content_type)
    return {"contentLength": length, **({"contentType": declared} if declared else {})}


def follow(outcome: Outcome, job: Job) -> tuple[Found, ...]:
    """A page's links for the frontier; those of error pages and of pages off the site are not followed."""
    if outcome.status is not UrlStatus.COMPLETED or job.options.source == "sitemaps":
        return ()
    if job.scope.decide(outcome.final_url or outcome.lease.url) in {"external", "subdomain"}:
        return ()
    return job.find(outcome.links)
