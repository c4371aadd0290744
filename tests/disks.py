"""Small file systems, to be filled."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk(size_bytes: int, *, files: int = 0) -> Iterator[Path]:
    """A file system of so many bytes and, unless that is 0, files. Skips the test where nobody may mount one."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    # Not below pytest's own folder, which Postgres may not enter.
    place = Path(tempfile.mkdtemp(prefix="crawl-small-disk-"))
    place.chmod(0o755)
    options = f"size={size_bytes},nr_inodes={files}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False)
    if mounted.returncode:
        place.rmdir()
        pytest.skip("this machine lets nobody mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def fill(disk: Path) -> Path:
    """Leave no room. Returns what to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 65_536):
            pass
    return filler


def use_up_files(disk: Path) -> Path:
    """Leave no room for another file. Returns the folder to remove."""
    folder = disk / "files"
    folder.mkdir()
    with suppress(OSError):
        number = 0
        while True:
            (folder / str(number)).touch()
            number += 1
    return folder
