"""PDF by PDFium, the reader of Chromium: its words and where they stand. What they mean is `layout`'s."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from crawler.extract.encoding import clean
from crawler.extract.formats.content import BadDocument, Content, Limits, first_heading, from_blocks
from crawler.extract.formats.layout import Edge, Line, Word, arrange, make_line
from crawler.extract.metadata import Metadata, shorten

MAX_PAGES = 5_000
#: Drawings with more strokes are no tables.
_MAX_EDGES = 2_000
_DATE = re.compile(r"D:(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d))?(?:([+-])(\d\d)'?(\d\d)?|(Z))?")


def read_pdf(body: bytes, limits: Limits) -> Content:
    """The text of a PDF. Raises BadDocument when it cannot be opened."""
    try:
        document = pypdfium2.PdfDocument(body)
    except pypdfium2.PdfiumError as error:
        raise BadDocument(str(error)) from error
    try:
        pages = [list(_lines(document, number)) for number in range(min(len(document), MAX_PAGES))]
        about = document.get_metadata_dict()
        count = len(document)
    except pypdfium2.PdfiumError as error:
        raise BadDocument(str(error)) from error
    finally:
        document.close()
    words = sum(len(cell) for page in pages for line in page for cell in line.cells)
    blocks = arrange(pages)
    title = shorten(clean(about.get("Title", ""))) or first_heading(blocks)
    made = from_blocks(title, blocks, words, limits)
    metadata = Metadata(
        description=shorten(clean(about.get("Subject", ""))),
        author=shorten(clean(about.get("Author", ""))),
        published=_moment(about.get("CreationDate", "")),
        modified=_moment(about.get("ModDate", "")),
    )
    return Content(made.title, made.markdown, made.words, (), metadata, count)


def _lines(document: pypdfium2.PdfDocument, number: int) -> Iterator[Line]:
    """The lines of a page in the order of its text, which PDFium has cut and put in order."""
    page = document[number]
    try:
        edges = _edges(page)
        textpage = page.get_textpage()
        try:
            line: list[Word] = []
            for word in _words(textpage):
                if word is not None:
                    line.append(word)
                elif line:
                    yield make_line(line, edges)
                    line = []
            if line:
                yield make_line(line, edges)
        finally:
            textpage.close()
    finally:
        page.close()


def _words(textpage: pypdfium2.PdfTextPage) -> Iterator[Word | None]:
    """The words of a page; None where a line ends."""
    raw = textpage.raw
    letters: list[str] = []
    first = last = 0
    for index in range(textpage.count_chars()):
        code = pdfium.FPDFText_GetUnicode(raw, index)
        letter = chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
        if not letter.isspace():
            first = first if letters else index
            last = index
            letters.append(letter)
            continue
        if letters:
            yield _word("".join(letters), raw, first, last)
            letters = []
        if letter in "\r\n":
            yield None
    if letters:
        yield _word("".join(letters), raw, first, last)


def _word(text: str, raw: object, first: int, last: int) -> Word:
    start, end = _box(raw, first), _box(raw, last)
    return Word(text, start.left, max(end.right, start.left), start.bottom, start.top)


def _box(raw: object, index: int) -> pdfium.FS_RECTF:
    """The place of a letter in its line, as high as its font."""
    box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(raw, index, ctypes.byref(box))
    return box


def _edges(page: pypdfium2.PdfPage) -> list[Edge]:
    """The vertical edges of thin strokes, which is how tables are drawn."""
    edges: list[Edge] = []
    for item in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_PATH], max_depth=2):
        left, bottom, right, top = item.get_bounds()
        if top - bottom >= 4:
            edges += [Edge(left, bottom, top)] if right - left < 3 else []
        if len(edges) >= _MAX_EDGES:
            return []
    return edges


def _moment(written: str) -> str:
    """A date of PDF (ISO 32000-1, 7.9.4) as ISO 8601; empty if it is none."""
    match = _DATE.match(written)
    if match is None:
        return ""
    year, month, day, hour, minute, second, sign, hours, minutes, _ = match.groups()
    if hour is None:
        return f"{year}-{month}-{day}"
    zone = f"{sign}{hours}:{minutes or '00'}" if sign else "Z"
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone}"
