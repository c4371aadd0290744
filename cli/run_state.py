"""What `crawl run` keeps between two calls of the same command, so that the second continues the first.

The crawl itself is in the folder's database. It is removed when the crawl has come to its end, so the next call
starts anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO

from crawler.errors import ConfigurationError
from crawler.settings import Settings


class RunState:
    """The private folder of one command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = folder / "started"

    @property
    def is_started(self) -> bool:
        """Whether an earlier call has begun to write its output."""
        return self._started.exists()

    def start(self) -> None:
        """Remember that the output belongs to this crawl from now on."""
        self._started.touch()

    def settings(self, settings: Settings) -> Settings:
        """The same settings on a database of this command's own, everything in this process."""
        return settings.model_copy(update={"data_dir": self._folder, "database_url": "", "broker_url": ""})

    def remove(self) -> None:
        """Forget the crawl."""
        shutil.rmtree(self._folder)
        # Last: from now on another process may begin the same crawl.
        _lock_of(self._folder).unlink()


@contextmanager
def open_state(data_dir: Path, body: Mapping[str, object], output: str) -> Iterator[RunState]:
    """The state of the command with this request and output. After its `remove` only leave the block.

    Raises ConfigurationError when the same command is running already.
    """
    target = output if output == "-" else str(Path(output).absolute())
    digest = sha256(json.dumps([body, target], sort_keys=True).encode()).hexdigest()[:24]
    folder = data_dir / "runs" / digest
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(_lock_of(folder)):
        folder.mkdir(mode=0o700, exist_ok=True)
        yield RunState(folder)


def _lock_of(folder: Path) -> Path:
    # Beside the folder, so that it goes after all else.
    return folder.with_suffix(".lock")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    while True:
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigurationError(
                    "This very crawl is running already; stop that one first."
                ) from error
            if _is_at(path, lock):
                yield
                return
        # Its owner removed it after we had opened it: the next process would lock another file at this path.


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
