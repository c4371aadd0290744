"""Where records go: a folder of files with an index, one file of JSON lines, or standard output.

A record is a mapping in the shape of the wire (contract A.5). What is written is also the memory of what was
written: a crawl that is continued reads its own output back, so a stop at any moment costs and doubles nothing.
"""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from cli.names import EXTENSIONS, file_name
from cli.replacing import remove_files
from crawler.errors import ConfigurationError
from crawler.model import UrlStatus

#: The file in a folder that lists every record and the files of its contents.
INDEX = "index.jsonl"


class Output(Protocol):
    """Takes records, each at once and for good."""

    #: URLs of records that an earlier run has written.
    written: frozenset[str]

    def write(self, record: Mapping[str, Any]) -> None:
        """Write one record. Raises OSError."""


class Lines:
    """One JSON object per line."""

    def __init__(self, file: BinaryIO, written: frozenset[str] = frozenset()) -> None:
        self._file = file
        self.written = written

    def write(self, record: Mapping[str, Any]) -> None:
        """Write one record. Raises OSError."""
        self._file.write(json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n")
        self._file.flush()


class Folder:
    """Files named after the URLs, and a line for every record in the index. Only completed pages get files."""

    def __init__(self, path: Path, index: Lines, *, scheme: str) -> None:
        self._path = path
        self._index = index
        self._scheme = scheme
        self.written = index.written

    def write(self, record: Mapping[str, Any]) -> None:
        """Write one record. Raises OSError."""
        files = {}
        if record["status"] == UrlStatus.COMPLETED:
            for format_name, extension in EXTENSIONS.items():
                if (content := record.get(format_name)) is not None:
                    name = file_name(record["url"], scheme=self._scheme, extension=extension)
                    self._write_file(self._path / name, content)
                    files[format_name] = name.as_posix()
        # The line comes last: a record that is in the index has its files.
        line = {key: value for key, value in record.items() if key not in EXTENSIONS}
        self._index.write({**line, "files": files} if files else line)

    def _write_file(self, path: Path, content: object) -> None:
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=2)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(errors="replace"))


@contextmanager
def open_output(target: str, *, scheme: str, continued: bool) -> Iterator[Output]:
    """Open what `--output` names: a folder, a file whose name ends in `.jsonl`, or standard output, `-`.

    `scheme` is that of the crawl's start. `continued`: keep what an earlier run has written; otherwise a file or
    an index that is there is replaced, and the files that the index names are removed. Standard output has no
    memory: a continued crawl prints every record again.
    Raises ConfigurationError when another process is writing there or has written something else, and OSError.
    """
    if target == "-":
        yield Lines(sys.stdout.buffer)
    elif target.endswith(".jsonl"):
        with _open_lines(Path(target), continued=continued) as lines:
            yield lines
    else:
        with _open_lines(Path(target, INDEX), continued=continued, is_index=True) as lines:
            yield Folder(Path(target), lines, scheme=scheme)


@contextmanager
def _open_lines(path: Path, *, continued: bool, is_index: bool = False) -> Iterator[Lines]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"{path} is being written by another crawl; wait for it, or choose another --output"
            raise ConfigurationError(message) from error
        written = _read_back(file, path) if continued else frozenset()
        if not continued:
            if is_index:
                # While it still has its lines: after a stop in the middle they name what is left.
                file.seek(0)
                remove_files(file, path.parent)
            file.truncate(0)
        yield Lines(file, written)


def _read_back(file: BinaryIO, path: Path) -> frozenset[str]:
    """The URLs in the file. A last line without an end, from a process that was killed, is cut off."""
    file.seek(0)
    urls = set()
    whole_bytes = 0
    for line in file:
        if not line.endswith(b"\n"):
            break
        whole_bytes += len(line)
        try:
            urls.add(str(json.loads(line)["url"]))
        except (ValueError, KeyError, TypeError) as error:
            message = (
                f"{path} has been changed since the crawl was stopped; move it away to get all records again"
            )
            raise ConfigurationError(message) from error
    file.truncate(whole_bytes)
    return frozenset(urls)
