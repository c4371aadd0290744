"""Crawls and records as the wire has them (contract A.5). Written as JSON text directly: an answer of ten megabytes
is not validated twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

from api.sending import PIECE_BYTES, in_pieces
from crawler.model import PUBLIC_TEXT, CrawlView, Record, RecordPage

_MESSAGES: Mapping[str, str] = {code.value: text for code, text in PUBLIC_TEXT.items()}
#: What details never replace, nor stand in for.
_OWN_FIELDS = frozenset({"url", "status", "metadata", "html", "markdown", "json", "reason", "message"})


def crawl_fields(crawl: CrawlView) -> dict[str, object]:
    """What GET says about a crawl besides its records."""
    fields: dict[str, object] = {
        "id": crawl.id,
        "status": crawl.status,
        "browserSecondsUsed": round(crawl.browser_seconds, 3),
        "total": crawl.total,
        "finished": crawl.finished,
        "skipped": crawl.skipped,
    }
    if crawl.error is not None:
        fields["error"] = crawl.error
    if crawl.parent_id is not None:
        fields["parentId"] = crawl.parent_id
    return fields


def list_fields(crawl: CrawlView) -> dict[str, object]:
    """A crawl in the list of crawls."""
    return {
        **crawl_fields(crawl),
        "url": crawl.seed_url,
        "createdAt": iso(crawl.created_at),
        "endedAt": None if crawl.ended_at is None else iso(crawl.ended_at),
    }


def record_fields(record: Record) -> dict[str, object]:
    """One record; what is not known is left out, never null."""
    fields: dict[str, object] = {"url": record.url, "status": record.status}
    if record.http_status is not None:
        metadata: dict[str, object] = {"status": record.http_status, "url": record.final_url or record.url}
        if record.title is not None:
            metadata["title"] = record.title
        if record.last_modified is not None:
            metadata["lastModified"] = record.last_modified
        fields["metadata"] = metadata
    if record.html is not None:
        fields["html"] = record.html
    if record.markdown is not None:
        fields["markdown"] = record.markdown
    if record.json is not None:
        fields["json"] = json.loads(record.json)
    if record.reason:
        fields["reason"] = record.reason
        if record.reason in _MESSAGES:
            fields["message"] = _MESSAGES[record.reason]
    fields |= {name: value for name, value in record.details.items() if name not in _OWN_FIELDS}
    return fields


async def encode_page(page: RecordPage) -> AsyncIterator[bytes]:
    """The whole answer to GET, in pieces, so that another request waits for one record at most. Of what is ready to be
    sent no more than one record is held."""
    fields = crawl_fields(page.crawl)
    if page.next_cursor is not None:
        # A string, as typed SDKs declare it (contract A.9).
        fields["cursor"] = str(page.next_cursor)
    ready = ('{"success":true,"result":' + _dump(fields)[:-1] + ',"records":[').encode()
    separator = b""
    for record in page.records:
        ready += separator + _dump(record_fields(record)).encode()
        del record
        separator = b","
        if len(ready) >= PIECE_BYTES:
            async for piece in in_pieces(ready):
                yield piece
            ready = b""
    yield ready + b']},"errors":[],"messages":[]}'


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def iso(milliseconds: int) -> str:
    """A moment as the wire has it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
