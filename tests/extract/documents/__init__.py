"""Small documents of every type that is read: `harbour.pdf` was printed by Chromium, the others are made here."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from crawler.extract.content_type import DocumentKind

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = f"""<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1"
 Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>"""
_TYPES = f"""<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>"""
_LINKS = f"""<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId9" TargetMode="External"
 Type="{_OFFICE}/hyperlink" Target="https://example.com/gate"/></Relationships>"""
DOCX_BODY = """<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Harbour rules</w:t></w:r></w:p>
<w:p><w:r><w:t xml:space="preserve">Ask at </w:t></w:r><w:hyperlink r:id="rId9">
<w:r><w:t>the gate</w:t></w:r></w:hyperlink>
<w:r><w:rPr><w:b/></w:rPr><w:t xml:space="preserve"> first</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Ship</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Fee</w:t></w:r></w:p></w:tc></w:tr>
<w:tr><w:tc><w:p><w:r><w:t>Sloop</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>3</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"""

RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Harbour news</title><link>http://site.test/</link>
<description>What comes and goes</description><language>en</language><item><title>Fog &amp; rain</title>
<link>http://site.test/fog</link><pubDate>Sat, 21 Nov 2026 10:00:00 GMT</pubDate>
<description>&lt;p&gt;Wait for &lt;b&gt;noon&lt;/b&gt;&lt;/p&gt;</description></item></channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Harbour log</title>
<link href="http://site.test/"/>
<updated>2026-11-21T10:00:00Z</updated><entry><title>Sloop in</title><link href="/sloop"/>
<content type="html">at dawn</content>
</entry></feed>"""
RDF = """<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns="http://purl.org/rss/1.0/">
<channel rdf:about="http://site.test/"><title>Tides</title><link>http://site.test/</link></channel>
<item rdf:about="http://site.test/tide"><title>High</title><link>http://site.test/tide</link></item></rdf:RDF>"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A document, how a server sends it, and lines that its Markdown must have."""

    path: str
    content_type: str
    body: bytes
    kind: DocumentKind
    lines: tuple[str, ...]
    links: tuple[str, ...] = ()
    title: str = ""


def docx(body: str = DOCX_BODY, core: str | None = None) -> bytes:
    """A Word file with this body and these core properties."""
    document = f'<w:document xmlns:w="{_WORD}" xmlns:r="{_OFFICE}"><w:body>{body}</w:body></w:document>'
    return archive(
        {
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": _RELATIONS,
            "word/document.xml": document,
            "word/_rels/document.xml.rels": _LINKS,
            **({} if core is None else {"docProps/core.xml": core}),
        }
    )


def archive(files: dict[str, str]) -> bytes:
    """A zip file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made.getvalue()


def png() -> bytes:
    """One white pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\xff"))
        + chunk(b"IEND", b"")
    )


def samples() -> list[Sample]:
    """One of each type."""
    pdf = (Path(__file__).parent / "harbour.pdf").read_bytes()
    return [
        Sample(
            "/report.pdf",
            "application/pdf",
            pdf,
            DocumentKind.PDF,
            (
                "# Annual report",
                "## Ships",
                "| Month | In | Out |",
                "| February | 9 | 10 |",
                "More of the same, and a new rope.",
            ),
            title="Annual report of the harbour",
        ),
        Sample(
            "/rules.docx",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            docx(),
            DocumentKind.DOCX,
            ("# Harbour rules", "Ask at [the gate](https://example.com/gate) **first**", "| Sloop | 3 |"),
            ("https://example.com/gate",),
            "Harbour rules",
        ),
        Sample(
            "/notes.txt",
            "text/plain; charset=iso-8859-1",
            "  caf\u00e9\n* not a list".encode("latin-1"),
            DocumentKind.TEXT,
            ("```", "  caf\u00e9", "* not a list"),
            title="notes.txt",
        ),
        Sample(
            "/guide.md",
            "text/markdown",
            b"---\ntitle: The guide\n---\n# Guide\n\nSee [the *map*](map.html).\n",
            DocumentKind.MARKDOWN,
            ("# Guide", "See [the *map*](map.html)."),
            ("http://site.test/map.html",),
            "The guide",
        ),
        Sample("/llms.txt", "text/plain", b"# Site\n", DocumentKind.MARKDOWN, ("# Site",), title="Site"),
        Sample(
            "/ships.csv",
            "text/csv",
            b'ship,"fee, total"\nsloop,3\n"a|b"\n',
            DocumentKind.CSV,
            ("| ship | fee, total |", "| sloop | 3 |", "| a\\|b |  |"),
            title="ships.csv",
        ),
        Sample(
            "/ships.tsv",
            "text/tab-separated-values",
            b"ship\tfee\nsloop\t3\n",
            DocumentKind.TSV,
            ("| sloop | 3 |",),
            title="ships.tsv",
        ),
        Sample(
            "/data.json",
            "application/json",
            b'{"a": [1, 2]}',
            DocumentKind.JSON,
            ("```json", '{"a": [1, 2]}'),
            title="data.json",
        ),
        Sample(
            "/data.xml",
            "text/xml",
            b"<?xml version='1.0'?><ships><ship/></ships>",
            DocumentKind.XML,
            ("```xml", "<?xml version='1.0'?><ships><ship/></ships>"),
            title="data.xml",
        ),
        Sample(
            "/news.rss",
            "application/rss+xml",
            RSS.encode(),
            DocumentKind.FEED,
            (
                "# Harbour news",
                "What comes and goes",
                "## [Fog & rain](http://site.test/fog)",
                "Wait for **noon**",
            ),
            ("http://site.test/", "http://site.test/fog"),
            "Harbour news",
        ),
        Sample(
            "/log.atom",
            "application/xml",
            ATOM.encode(),
            DocumentKind.FEED,
            ("# Harbour log", "## [Sloop in](http://site.test/sloop)", "at dawn"),
            ("http://site.test/", "http://site.test/sloop"),
            "Harbour log",
        ),
        Sample(
            "/tides.rdf",
            "application/rdf+xml",
            RDF.encode(),
            DocumentKind.FEED,
            ("## [High](http://site.test/tide)",),
            ("http://site.test/", "http://site.test/tide"),
            "Tides",
        ),
        Sample(
            "/white%20pixel.png",
            "image/png",
            png(),
            DocumentKind.IMAGE,
            ("![white pixel.png](http://site.test/white%20pixel.png)",),
            title="white pixel.png",
        ),
    ]
