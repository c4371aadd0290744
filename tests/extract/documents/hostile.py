"""Documents made to break their readers (cases D15 to D20): bombs, loops, depth without end, tables without measure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crawler.extract.content_type import DocumentKind
from tests.extract.documents import archive, docx

DOCX_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@dataclass(frozen=True, slots=True)
class Hostile:
    """A document by its declared type; `make` builds its body, which may be large."""

    content_type: str
    kind: DocumentKind
    make: Callable[[], bytes]


def _pdf(*objects: str | bytes) -> bytes:
    """A PDF of these objects, numbered from 1, the first its catalogue. Readers find them without a table."""
    body = b"".join(
        b"%d 0 obj\n%b\nendobj\n" % (number, text.encode() if isinstance(text, str) else text)
        for number, text in enumerate(objects, 1)
    )
    return b"%PDF-1.4\n" + body + b"trailer<</Root 1 0 R>>"


def _stream(content: bytes, entries: str = "") -> bytes:
    packed = zlib.compress(content)
    head = f"<</Filter/FlateDecode/Length {len(packed)} {entries}>>stream\n"
    return head.encode() + packed + b"\nendstream"


def _page(content: bytes, *others: str | bytes, resources: str = "") -> bytes:
    """One page with this content; `others` are objects from number 5 on."""
    return _pdf(
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Count 1/Kids[3 0 R]>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<<{resources}>>>>",
        _stream(content),
        *others,
    )


def _loop() -> bytes:
    """Kids of the page tree that are the tree itself."""
    return _pdf("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Count 9/Kids[2 0 R 2 0 R]>>")


def _deep_pdf() -> bytes:
    """Page trees within page trees."""
    levels = range(2, 100_000)
    return _pdf(
        "<</Type/Catalog/Pages 2 0 R>>",
        *(f"<</Type/Pages/Count 1/Kids[{level + 1} 0 R]>>" for level in levels),
    )


def _drawn_in_itself() -> bytes:
    """A drawing that holds itself, twice."""
    form = _stream(
        b"/X Do /X Do", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>"
    )
    return _page(b"/X Do", form, resources="/XObject<</X 5 0 R>>")


def _pdf_bomb() -> bytes:
    """Sixteen million letters in 20 kB."""
    font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    letters = b"BT /F 9 Tf " + b"(xxxxxxxx) Tj " * 2_000_000 + b"ET"
    return _page(letters, font, resources="/Font<</F 5 0 R>>")


def _docx_table() -> bytes:
    """A table of 95 MB when it is unpacked."""
    row = "<w:tr>" + "<w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc>" * 20 + "</w:tr>"
    return docx("<w:tbl>" + row * (95_000_000 // len(row)) + "</w:tbl>")


_ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 10}">' for n in range(12))
_CHANNEL = '<rss version="2.0"><channel><title>{}</title>{}</channel></rss>'
_LAUGHS = f'<?xml version="1.0"?><!DOCTYPE rss [{_ENTITIES}]>' + _CHANNEL.format("&e11;", "")
_OUTSIDE = '<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + _CHANNEL.format("&x;", "")
_DEEP_ITEM = f"<item><title>x</title><description>{'&lt;div&gt;' * 100_000}</description></item>"
_DEEP_ITEMS = f"<item><title>x</title><description>{'&lt;div&gt;' * 9_000}</description></item>" * 90

_PDF = ("application/pdf", DocumentKind.PDF)
_DOCX = (DOCX_TYPE, DocumentKind.DOCX)
_FEED = ("application/rss+xml", DocumentKind.FEED)
_MARKDOWN = ("text/markdown", DocumentKind.MARKDOWN)
_CSV = ("text/csv", DocumentKind.CSV)

HOSTILE: Mapping[str, Hostile] = {
    "damaged.pdf": Hostile(*_PDF, lambda: b"%PDF-1.7 nothing"),
    "loop.pdf": Hostile(*_PDF, _loop),
    "deep.pdf": Hostile(*_PDF, _deep_pdf),
    "drawn-in-itself.pdf": Hostile(*_PDF, _drawn_in_itself),
    "bomb.pdf": Hostile(*_PDF, _pdf_bomb),
    "damaged.docx": Hostile(*_DOCX, lambda: b"PK\x03\x04 nothing"),
    "bomb.docx": Hostile(*_DOCX, lambda: archive({"word/document.xml": " " * (200 << 20)})),
    "files.docx": Hostile(*_DOCX, lambda: archive({f"word/{n}": "" for n in range(11_000)})),
    "deep.docx": Hostile(*_DOCX, lambda: docx("<w:sdt><w:sdtContent>" * 50_000)),
    "table.docx": Hostile(*_DOCX, _docx_table),
    "entities.docx": Hostile(
        *_DOCX, lambda: archive({"word/document.xml": _LAUGHS, "_rels/.rels": "", "[Content_Types].xml": ""})
    ),
    "laughs.rss": Hostile(*_FEED, _LAUGHS.encode),
    "wide-laughs.rss": Hostile(*_FEED, lambda: _LAUGHS.encode("utf-16")),
    "outside.rss": Hostile(*_FEED, _OUTSIDE.encode),
    "deep.rss": Hostile(*_FEED, lambda: _CHANNEL.format("x", _DEEP_ITEM).encode()),
    "deep-entries.rss": Hostile(*_FEED, lambda: _CHANNEL.format("x", _DEEP_ITEMS).encode()),
    "none.rss": Hostile(*_FEED, lambda: b"<html>nothing"),
    "deep.md": Hostile(*_MARKDOWN, lambda: b"> " * 500_000),
    "brackets.md": Hostile(*_MARKDOWN, lambda: b"[a](" * 200_000),
    "table.md": Hostile(*_MARKDOWN, lambda: b"|a" * 3_000 + b"\n" + b"|-" * 3_000 + b"\n" + b"|x\n" * 3_000),
    "field.csv": Hostile(*_CSV, lambda: b'"' + b"x" * 200_000),
    "table.csv": Hostile(*_CSV, lambda: b"a,b,c,d\n" * 12_500_000),
    "wide.csv": Hostile(*_CSV, lambda: b"a" + b"," * 40_000 + b"\nx" * 9_000),
    "table.tsv": Hostile("text/tab-separated-values", DocumentKind.TSV, lambda: b"a\tb\n" * 25_000_000),
    "deep.json": Hostile("application/json", DocumentKind.JSON, lambda: b"[" * 1_000_000),
    "laughs.xml": Hostile("text/xml", DocumentKind.XML, lambda: _LAUGHS.replace("rss", "x").encode()),
    "long.txt": Hostile("text/plain", DocumentKind.TEXT, lambda: b"`" * 100_000_000),
    "huge.png": Hostile(
        "image/png",
        DocumentKind.IMAGE,
        lambda: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x10\6\0\0\0",
    ),
}
