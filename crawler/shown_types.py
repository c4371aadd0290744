"""What a browser was given, and whether that is a page: it shows much that is none without it."""

from __future__ import annotations

from pydantic import JsonValue

from crawler.extract.content_type import HTML_TYPES, document_kind, media_type
from crawler.model import ErrorCode, Failure, Refusal, Rendered


def is_document(answer: Rendered | Failure | Refusal) -> bool:
    """Whether the browser was given something else than a page that can be read all the same."""
    match answer:
        case Rendered(response=response):
            return document_kind(response.headers.get("content-type")) is not None
        case Failure(media_type=media_type):
            return document_kind(media_type) is not None
        case Refusal():
            return False


def check_type(rendered: Rendered | Failure | Refusal) -> Rendered | Failure | Refusal:
    """The same, or a failure where it is a text of a type that is no page without a browser either: a style sheet, or
    a script."""
    if not isinstance(rendered, Rendered):
        return rendered
    declared = media_type(rendered.response.headers.get("content-type"))
    if not declared.startswith("text/") or declared in HTML_TYPES or document_kind(declared) is not None:
        return rendered
    return Failure(ErrorCode.UNSUPPORTED_CONTENT, declared, media_type=declared)


def type_details(failure: Failure) -> dict[str, JsonValue]:
    """What the record of such a failure says about the type."""
    return {"contentType": failure.media_type} if failure.media_type else {}
