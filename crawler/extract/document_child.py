"""The process that reads hostile documents: `python -m crawler.extract.document_child`, started by
`crawler.extract.documents`. It is not the one that reads pages, which stays small without these libraries."""

from __future__ import annotations

from typing import Any, assert_never

from crawler.changes import content_hash
from crawler.extract.content_type import DocumentKind
from crawler.extract.encoding import clean, decode
from crawler.extract.formats.content import BadDocument, Content, Limits
from crawler.extract.serving import Options, serve
from crawler.model import ErrorCode


def answer(header: dict[str, Any], body: bytes, options: Options) -> tuple[dict[str, Any], str]:
    """Read one document."""
    limits = Limits(options["max_links"], options["max_url_chars"], options["converter"])
    try:
        content = _read(DocumentKind(header["kind"]), body, header["url"], header["content_type"], limits)
    except (BadDocument, RecursionError) as error:
        return {"failure": ErrorCode.BAD_DOCUMENT, "detail": f"{header['kind']}: {error}"}, ""
    details = content.metadata.to_details() | {"wordCount": content.words}
    if content.pages is not None:
        details["pageCount"] = content.pages
    markdown = clean(content.markdown)
    said = {
        "title": content.title,
        "links": content.links,
        "details": details,
        "content_hash": content_hash(content.title, markdown),
    }
    return said, markdown


def _read(kind: DocumentKind, body: bytes, url: str, content_type: str, limits: Limits) -> Content:
    # Each library is loaded when the first document of its kind comes.
    match kind:
        case DocumentKind.PDF:
            from crawler.extract.formats.pdf import read_pdf  # noqa: PLC0415

            return read_pdf(body, limits)
        case DocumentKind.DOCX:
            from crawler.extract.formats.docx import read_docx  # noqa: PLC0415

            return read_docx(body, url, limits)
        case DocumentKind.FEED:
            from crawler.extract.formats.feed import read_feed  # noqa: PLC0415

            return read_feed(body, url, content_type, limits)
        case _:
            return _read_text(kind, body, url, content_type, limits)


def _read_text(kind: DocumentKind, body: bytes, url: str, content_type: str, limits: Limits) -> Content:
    from crawler.extract.formats import texts  # noqa: PLC0415

    if kind is DocumentKind.IMAGE:
        return texts.read_image(url, limits)
    text = decode(body, content_type)
    match kind:
        case DocumentKind.MARKDOWN:
            return texts.read_markdown(text, url, limits)
        case DocumentKind.CSV:
            return texts.read_csv(text, url, ",;\t", limits)
        case DocumentKind.TSV:
            return texts.read_csv(text, url, "\t", limits)
        case DocumentKind.TEXT:
            return texts.read_text(text, url, "", limits)
        case DocumentKind.JSON:
            return texts.read_text(text, url, "json", limits)
        case DocumentKind.XML:
            return texts.read_text(text, url, "xml", limits)
        case DocumentKind.PDF | DocumentKind.DOCX | DocumentKind.FEED:
            raise AssertionError(kind)
        case other:
            assert_never(other)


if __name__ == "__main__":
    serve(answer)
