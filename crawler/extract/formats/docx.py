"""DOCX by mammoth: to HTML, which is read like a page."""

from __future__ import annotations

import io
import zipfile

import mammoth

from crawler.extract.encoding import clean
from crawler.extract.formats.content import BadDocument, Content, Limits, first_heading, read_html
from crawler.extract.formats.properties import read_properties
from crawler.extract.markdown import write
from crawler.extract.metadata import Metadata, shorten

#: An archive that grows beyond this, or holds more files, is a bomb. Sizes are those it declares, and unpacking stops
#: at them.
MAX_UNPACKED_BYTES = 100 << 20
MAX_FILES = 10_000
#: Of a longer part nothing is taken: cut off it is no XML.
_MAX_PROPERTIES_BYTES = 1 << 20


def read_docx(body: bytes, url: str, limits: Limits) -> Content:
    """The text of a DOCX, and what it says about itself. Raises BadDocument when it cannot be opened or is a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            files = archive.infolist()
            if len(files) > MAX_FILES or sum(file.file_size for file in files) > MAX_UNPACKED_BYTES:
                raise BadDocument("too large when unpacked")
            about = read_properties(_properties(archive))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BadDocument(str(error)) from error
    read = read_html(clean(_to_html(body)), url, limits)
    title = shorten(clean(about.get("title", ""))) or first_heading(read.blocks)
    metadata = Metadata(
        author=shorten(clean(about.get("author", ""))),
        published=shorten(about.get("published", "")),
        modified=shorten(about.get("modified", "")),
    )
    return Content(title, write(read.blocks, limits.converter), read.words, read.links, metadata)


def _properties(archive: zipfile.ZipFile) -> bytes:
    """The part that holds the file's properties; empty when there is none that can be unpacked, for whatever reason:
    the text is worth reading without them."""
    try:
        with archive.open("docProps/core.xml") as part:
            return part.read(_MAX_PROPERTIES_BYTES)
    except MemoryError:
        raise
    except Exception:
        return b""


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
