"""Reading documents that are no HTML, each into Markdown, in child processes that can be killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from crawler.extract import document_child
from crawler.extract.children import Children
from crawler.extract.content_type import DocumentKind
from crawler.model import ErrorCode, Failure
from crawler.settings import Settings


@dataclass(frozen=True, slots=True)
class Document:
    """What was made of a document. `details` are members of its record."""

    title: str
    links: tuple[str, ...]
    markdown: str
    details: Mapping[str, JsonValue]
    #: Equal for two fetches of a document whose text has not changed (`crawler.changes`).
    content_hash: str


class Documents:
    """Reads documents, in processes of its own. Belongs to one event loop; close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._children = Children(document_child.__name__, settings)

    async def read(
        self, body: bytes, kind: DocumentKind, *, url: str, content_type: str | None
    ) -> Document | Failure:
        """Read a body of this kind. `url` is where it came from, `content_type` the header, for its charset.

        What is damaged or too much for its reader is a Failure; nothing that a document holds makes this raise.
        """
        header = {"kind": kind, "url": url, "content_type": content_type or ""}
        answer = await self._children.ask(header, body)
        if isinstance(answer, Failure):
            return answer
        if len(answer.text) > self._settings.max_record_bytes:
            return Failure(ErrorCode.TOO_LARGE, f"{len(answer.text)} characters of Markdown")
        said = answer.header
        return Document(
            said["title"], tuple(said["links"]), answer.text, said["details"], said["content_hash"]
        )

    async def close(self) -> None:
        """End all children; documents in flight end as failures."""
        await self._children.close()
