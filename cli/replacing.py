"""What a new crawl removes of the one before: the files that its index names, and nothing else in the folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from cli.names import EXTENSIONS


def remove_files(index: Iterable[bytes], folder: Path) -> None:
    """Remove the files that the lines of an index name, and the folders in `folder` that are empty thereby.

    The lines may have been broken by a stop, or changed by anybody: what is no file of a record is passed over.
    Raises OSError.
    """
    for name in _names(index):
        if _is_own_file(folder, name):
            (folder / name).unlink()
            _remove_empty(folder, name.parents[:-1])


def _names(index: Iterable[bytes]) -> Iterator[PurePosixPath]:
    for line in index:
        try:
            files = json.loads(line)["files"]
            names = [PurePosixPath(files[format_name]) for format_name in EXTENSIONS if format_name in files]
        except (ValueError, KeyError, TypeError):
            continue
        yield from names


def _is_own_file(folder: Path, name: PurePosixPath) -> bool:
    """Whether this is a regular file in the folder that could be a page's, reached without links and `..`."""
    if name.is_absolute() or ".." in name.parts or name.suffix not in EXTENSIONS.values():
        return False
    is_linked = any((folder / part).is_symlink() for part in (name, *name.parents[:-1]))
    return not is_linked and (folder / name).is_file()


def _remove_empty(folder: Path, parents: Iterable[PurePosixPath]) -> None:
    """Remove these folders, the innermost first, up to one that holds something."""
    for parent in parents:
        try:
            (folder / parent).rmdir()
        except OSError:
            return
