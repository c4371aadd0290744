"""DOCX by mammoth: to HTML, which is read like a page."""

from __future__ import annotations

import io
import zipfile

import mammoth

from crawler.extract.encoding import clean
from crawler.extract.formats.content import BadDocument, Content, Limits, read_html
from crawler.extract.markdown import write

#: An archive that grows beyond this, or holds more files, is a bomb. Sizes are those it declares, and unpacking stops
#: at them.
MAX_UNPACKED_BYTES = 100 << 20
MAX_FILES = 10_000


def read_docx(body: bytes, url: str, limits: Limits) -> Content:
    """The text of a DOCX. Raises BadDocument when it cannot be opened or is a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            files = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadDocument(str(error)) from error
    if len(files) > MAX_FILES or sum(file.file_size for file in files) > MAX_UNPACKED_BYTES:
        raise BadDocument("too large when unpacked")
    read = read_html(clean(_to_html(body)), url, limits)
    return Content("", write(read.blocks, limits.converter), read.words, read.links)


def _to_html(body: bytes) -> str:
    """The one place that knows mammoth. What it raises on a damaged file is of any kind."""
    try:
        made = mammoth.convert_to_html(
            io.BytesIO(body), convert_image=mammoth.images.img_element(_leave_out), external_file_access=False
        )
    except MemoryError:
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise BadDocument(message) from error
    return str(made.value)


def _leave_out(_image: object) -> dict[str, str]:
    """Pictures inside the file have no address; their text alternative stays."""
    return {"src": ""}
