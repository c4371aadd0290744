"""Reading HTML without trusting it: parsing and converting happen in child processes that can be killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crawler.extract import child
from crawler.extract.children import Answer, Children
from crawler.extract.content_type import is_xml
from crawler.extract.document import Page, parse
from crawler.extract.metadata import Metadata
from crawler.extract.view import View
from crawler.model import ErrorCode, Failure, Link
from crawler.settings import Settings
from crawler.structured.data import StructuredData

#: HTML up to this size is parsed in this process when nothing else is asked: it costs less than the way to a child, and
#: what the parser's quadratic cases cost at this size (about 0.2 s) is a pause that an event loop survives.
INLINE_CHARS = 32 * 1024


@dataclass(frozen=True, slots=True)
class Extract:
    """What was made of a page. `markdown` and `words` (those shown) are None when no Markdown was asked for."""

    page: Page
    markdown: str | None
    words: int | None = None
    #: Why there is only plain text and no link, where the page was too much for the parser or the converter.
    fault: Failure | None = None
    #: Empty when it was not asked for, or the page was too much for the parser.
    structured: StructuredData = field(default_factory=StructuredData)


class Converter:
    """Reads pages, in processes of its own. Belongs to one event loop; close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children = Children(child.__name__, settings)

    @property
    def pids(self) -> frozenset[int]:
        """Its processes."""
        return self._children.pids

    async def extract(
        self,
        html: str,
        url: str,
        *,
        view: View | None,
        content_type: str | None = None,
        structured: bool = False,
    ) -> Extract | Failure:
        """Read a page in one parse, with its structured data if asked, and convert what `view` shows; None: no
        Markdown is wanted. `content_type` is that of the HTTP header: what was sent as XML is read as XHTML.

        Never raises because of what the page holds. Where it is too much for the parser or the converter, its title and
        plain text are what is left, unless the view leaves something out on purpose.
        """
        if view is None and not structured and len(html) <= INLINE_CHARS:
            return Extract(self._parse_here(html, url, content_type), None)
        answer = await self._ask(html, url, view, is_xml=is_xml(content_type), structured=structured)
        if isinstance(answer, Failure):
            return answer
        extract, fault = answer
        header = extract.header
        if fault is None and header["is_plain"]:
            fault = Failure(ErrorCode.DOM_TOO_LARGE, "nested too deep")
        if fault is not None and view is not None and view.is_partial:
            return fault
        markdown = None if view is None else extract.text
        data = StructuredData(**header["page"].get("structured", {}))
        return Extract(_page(header["page"], html, url), markdown, header["words"], fault, data)

    async def close(self) -> None:
        """End all children; conversions in flight end as failures."""
        await self._children.close()

    def _parse_here(self, html: str, url: str, content_type: str | None) -> Page:
        limits = self._settings
        return parse(
            html,
            content_type=content_type,
            url=url,
            max_links=limits.max_links_per_page,
            max_url_chars=limits.max_url_chars,
        )

    async def _ask(
        self, html: str, url: str, view: View | None, *, is_xml: bool, structured: bool
    ) -> tuple[Answer, Failure | None] | Failure:
        """Ask for everything; if that fails, ask another child for what can be had without a parser."""
        shown = None if view is None else asdict(view)
        request = {"url": url, "view": shown, "is_xml": is_xml, "structured": structured, "is_plain": False}
        body = html.encode("utf-8", "replace")
        answer = await self._children.ask(request, body)
        fault = None
        if isinstance(answer, Failure) and answer.code != ErrorCode.WORKER_LOST:
            fault = answer
            answer = await self._children.ask(request | {"is_plain": True}, body)
        if isinstance(answer, Failure):
            return answer
        if len(answer.text) > self._settings.max_record_bytes:
            return Failure(ErrorCode.TOO_LARGE, f"{len(answer.text)} characters of Markdown")
        return answer, fault


def _page(fields: Mapping[str, Any], html: str, url: str) -> Page:
    """The page as the child describes it; only its title where it could not be parsed."""
    return Page(
        html=html,
        title=fields["title"],
        links=tuple(Link(link) for link in fields.get("links", ())),
        links_dropped=fields.get("links_dropped", 0),
        base_url=fields.get("base_url", url),
        metadata=Metadata(**fields.get("metadata", {})),
        content_hash=fields.get("content_hash", ""),
    )
