"""Bytes of a page to text, by the order of the HTML Standard ("determining the character encoding").

Byte order mark, then the charset of the HTTP header, then the declaration in the page, then a default.
Names are those of the Encoding Standard only: Python's own codecs (`rot13`, `idna`, `zlib_codec`, `utf-7`) can never be
named by a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import webencodings

#: How far a page is searched for its declaration. The standard's prescan reads 1,024 bytes, and a declaration that its
#: parser meets later makes it start anew ("changing the encoding while parsing"): one longer scan comes to the same.
PRESCAN_BYTES = 64 * 1024

BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
#: Python names that decode more of what the Encoding Standard's encoding of this name decodes.
SUPERSETS = {"gbk": "gb18030"}

_PARAMETER = re.compile(r";[ \t]*([^;=\",]+)=[ \t]*(?:\"([^\"]*)\"|([^;,]*))")
_CONTENT_CHARSET = re.compile(
    rb"charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r ;\"'][^\t\n\f\r ;]*))",
    re.IGNORECASE,
)
_XML_DECLARATION = re.compile(rb"<\?xml[^>]*?encoding[\x00-\x20]*=[\x00-\x20]*(?:\"([^\"]*)\"|'([^']*)')")
#: What the prescan stops at: a comment, a meta tag, any other tag, any other markup.
_PRESCAN_STOP = re.compile(
    rb"<(?:(!--)|(meta)(?=[\t\n\f\r /])|(/?[a-z][^\t\n\f\r >]*)|([!/?]))", re.IGNORECASE
)
_ATTRIBUTE = re.compile(
    rb"[\t\n\f\r /]*([^\t\n\f\r />][^=\t\n\f\r />]*)"
    rb"(?:[\t\n\f\r ]*=[\t\n\f\r ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f\r >\"'][^\t\n\f\r >]*|(?=>))))?"
)
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def decode(body: bytes, content_type: str | None) -> str:
    """The text of `body`. `content_type` is the HTTP header field, if there was one.

    What cannot be decoded becomes U+FFFD; the result holds neither NUL nor surrogates, so it can be stored as UTF-8.
    """
    name = encoding_of(body, content_type)
    for mark, _ in BYTE_ORDER_MARKS:
        body = body.removeprefix(mark)
    codec = webencodings.lookup(SUPERSETS.get(name, name))
    assert codec is not None, name
    text, _ = codec.codec_info.decode(body, "replace")
    return clean(text)


def clean(text: str) -> str:
    """Take out what a database or JSON cannot hold: NUL is dropped, a lone surrogate becomes U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    return _LONE_SURROGATES.sub("\ufffd", text)


def encoding_of(body: bytes, content_type: str | None) -> str:
    """The Encoding Standard's name of the encoding of `body`.

    A page that declares nothing is windows-1252, as browsers have it for most locales, unless it is valid UTF-8 with
    at least one character beyond ASCII: that does not happen by chance.
    """
    for mark, name in BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return name
    declared = _http_charset(content_type) or _page_charset(body[:PRESCAN_BYTES])
    if declared is not None:
        return declared
    if body.isascii():
        return "windows-1252"
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


def name_of_label(label: str) -> str | None:
    """The name of an encoding for one of its labels ("get an encoding", Encoding Standard 4.2), or None."""
    if not label.isascii():
        return None
    encoding = webencodings.lookup(label)
    return None if encoding is None else str(encoding.name)


def _http_charset(content_type: str | None) -> str | None:
    for match in _PARAMETER.finditer(content_type or ""):
        key, quoted, token = match.groups()
        if key.strip().lower() == "charset" and (name := name_of_label((quoted or token or "").strip("'"))):
            return name
    return None


def _page_charset(head: bytes) -> str | None:
    """What the page declares: "prescan a byte stream", then "get an XML encoding" (HTML Standard 13.2.3.2)."""
    if head.startswith(b"<\0?\0x\0"):
        return "utf-16le"
    if head.startswith(b"\0<\0?\0x"):
        return "utf-16be"
    position = 0
    while stop := _PRESCAN_STOP.search(head, position):
        comment, meta, tag, _ = stop.groups()
        if comment is not None:
            # The two dashes that open a comment may also close it: `<!-->`.
            end = head.find(b"-->", stop.start() + 2)
            position = end + 3
        elif meta is not None:
            name, position = _meta_charset(head, stop.end())
            if name is not None:
                return name
            continue
        elif tag is not None:
            end = _end_of_attributes(head, stop.end())
            position = end
        else:
            end = head.find(b">", stop.end())
            position = end + 1
        if end < 0:
            break
    declaration = _XML_DECLARATION.match(head)
    if declaration is None:
        return None
    return _not_utf16(name_of_label(_only_group(declaration)))


def _meta_charset(head: bytes, position: int) -> tuple[str | None, int]:
    """The encoding that one meta tag declares, and where to go on."""
    seen: set[bytes] = set()
    name: str | None = None
    is_pragma = False
    needs_pragma = False
    for key, value, end in _attributes(head, position):
        position = end
        if key in seen:
            continue
        seen.add(key)
        if key == b"http-equiv":
            is_pragma = value == b"content-type"
        elif key == b"content" and name is None:
            match = _CONTENT_CHARSET.search(value)
            if match and (found := name_of_label(_only_group(match))):
                name, needs_pragma = found, True
        elif key == b"charset":
            name, needs_pragma = name_of_label(value.decode("latin-1")), False
    if needs_pragma and not is_pragma:
        return None, position
    return _not_utf16(name), position


def _not_utf16(name: str | None) -> str | None:
    """A declaration that could be read byte by byte is not UTF-16, whatever it says (HTML Standard 13.2.3.2)."""
    if name in ("utf-16le", "utf-16be"):
        return "utf-8"
    return "windows-1252" if name == "x-user-defined" else name


def _attributes(head: bytes, position: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Lower-case name, lower-case value and end of each attribute of the tag whose name ended at `position`."""
    while match := _ATTRIBUTE.match(head, position):
        if match.end() == len(head):
            return  # cut off by the end of what may be searched: the tag does not count
        position = match.end()
        key, *values = match.groups()
        yield key.lower(), next((value for value in values if value is not None), b"").lower(), position


def _end_of_attributes(head: bytes, position: int) -> int:
    for _, _, end in _attributes(head, position):
        position = end
    return position


def _only_group(match: re.Match[bytes]) -> str:
    return next(group for group in match.groups() if group is not None).decode("latin-1")
