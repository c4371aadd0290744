"""Where a page goes in a folder of files: a pure function from its URL.

The folder mirrors the site: one folder per host, one per path segment, `index` for a path that ends in a slash.
The name depends on nothing but the URL, so a crawl that is continued writes the same names. A name that is plain
(lower-case ASCII that every file system keeps apart) is used as it is; any other is made harmless, and the file
gets a digest of the whole URL behind a `~`. No plain name contains a `~`, so no two URLs share a file, also where
`A` and `a` are the same to the file system.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

#: What a file of each format is called. The keys are the wire's format names, which are also the records' keys.
EXTENSIONS = {"markdown": ".md", "html": ".html", "json": ".json"}

#: Windows opens paths of up to 260 characters and eCryptfs names of up to 143 bytes: leave room for the folder
#: in front, and for the digest and the extension behind.
_MAX_NAME_CHARS = 60
_MAX_NAME_BYTES = 110
_MAX_FOLDERS_CHARS = 110
_DIGEST_CHARS = 12

_PLAIN = re.compile(rf"[a-z0-9_](?:[a-z0-9._-]{{0,{_MAX_NAME_CHARS - 2}}}[a-z0-9_-])?")
_HARMLESS = frozenset(" !#$&'()+,-.=@_")
#: Devices on Windows, with any extension and in any folder.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])(\.|$)", re.IGNORECASE)
#: `/a.md/b` must not need a folder where `/a` already has a file.
_FILE_ENDINGS = (*EXTENSIONS.values(), ".jsonl")


def file_name(url: str, *, scheme: str, extension: str) -> PurePosixPath:
    """The path of a page's file, relative to the crawl's folder and always inside it.

    `url` is absolute and serialised, `scheme` is that of the crawl's start: the same path under the other scheme
    is another page and gets a digest.
    """
    parts = urlsplit(url)
    *segments, last = parts.path.split("/")[1:]
    stem = last or "index"
    if "?" in url:
        stem = f"{stem}?{parts.query}"
    folders = [_host_folder(parts.netloc), *segments]
    is_plain = (
        parts.scheme == scheme
        and all(_is_plain(name) and not name.endswith(_FILE_ENDINGS) for name in folders)
        and sum(len(name) + 1 for name in folders) <= _MAX_FOLDERS_CHARS
        and _is_plain(stem)
        and last != "index"
    )
    if is_plain:
        return PurePosixPath(*folders, stem + extension)
    digest = sha256(url.encode()).hexdigest()[:_DIGEST_CHARS]
    return PurePosixPath(*_harmless_folders(folders), f"{_harmless(stem)}~{digest}{extension}")


def _host_folder(netloc: str) -> str:
    """`example.com`, `127.0.0.1_8080`, `ipv6_2001-db8--1_8080`. A host name with a `_` of its own is not plain."""
    host, colon, port = netloc.rpartition(":") if re.search(r":\d+$", netloc) else (netloc, "", "")
    if host.startswith("["):
        host = "ipv6_" + host[1:-1].replace(":", "-")
    elif "_" in host:
        host = f"{host}?"
    return f"{host}_{port}" if colon else host


def _is_plain(name: str) -> bool:
    return _PLAIN.fullmatch(name) is not None and not _RESERVED.match(name)


def _harmless(name: str) -> str:
    """A name like the given one that is safe everywhere, but not unique and not always recognisable."""
    text = normalize("NFC", unquote(name, errors="replace"))
    text = "".join(char if char.isalnum() or char in _HARMLESS else "_" for char in text)
    text = text[:_MAX_NAME_CHARS].encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
    text = text.lstrip(" .-").rstrip(" .") or "_"
    return f"_{text}" if _RESERVED.match(text) else text


def _harmless_folders(names: list[str]) -> list[str]:
    """The host's folder and as many of the next as fit: deep paths share one, the digest keeps their files apart."""
    kept: list[str] = []
    for name in names:
        folder = _harmless(name)
        if folder.lower().endswith(_FILE_ENDINGS):
            folder += "_"
        if sum(len(other) + 1 for other in (*kept, folder)) > _MAX_FOLDERS_CHARS:
            break
        kept.append(folder)
    return kept
