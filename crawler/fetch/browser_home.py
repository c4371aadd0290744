"""The folder that all files of one browser and its driver are in, and that goes with them."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

_PREFIX = "crawl-chromium-"
#: A folder that nobody holds yet: `sweep` leaves it alone.
_NEW_PREFIX = "crawl-new-chromium-"


class BrowserHome:
    """A folder below `$TMPDIR` or /tmp, locked as long as its process lives. The kernel unlocks it however that ends,
    so others see whose is left over; a process id would not tell, since containers number theirs alike."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def make(cls) -> Self:
        """A new folder. Raises OSError."""
        made = Path(tempfile.mkdtemp(prefix=_NEW_PREFIX, dir=parent()))
        lock = -1
        try:
            lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = made.rename(made.with_name(_PREFIX + made.name.removeprefix(_NEW_PREFIX)))
        except OSError:
            if lock >= 0:
                os.close(lock)
            made.rmdir()
            raise
        return cls(path, lock)

    @contextmanager
    def for_children(self) -> Iterator[None]:
        """Let programs that are started within the block put their temporary files here. They get our environment:
        there is no other way to tell Playwright's driver where a browser's profile belongs."""
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(self.path)
        try:
            yield
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before

    def remove(self) -> None:
        """Delete the folder, as far as that can be done. A second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def sweep() -> None:
    """Delete the folders of processes that were killed before they could."""
    for path in parent().glob(f"{_PREFIX}*"):
        with suppress(OSError):
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(folder).st_uid == os.geteuid():
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(folder)


def parent() -> Path:
    """Where temporary files go.

    Not `tempfile.gettempdir()`: that goes elsewhere where there is no room, in the end to the working folder, and what
    fills the room would never be swept.
    """
    return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
