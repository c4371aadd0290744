"""Progress on standard error: a live line on a terminal, a plain line now and then elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: The rate shown is that of the last so many seconds.
_RATE_SECONDS = 10.0
_PLAIN_LINE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How far a crawl is. `errored` is None where that is not known, `hosts` are those being fetched from."""

    finished: int
    total: int
    errored: int | None = None
    hosts: Sequence[str] = ()


class Display(Protocol):
    """Shows how far a crawl is; called as often as there is news."""

    def show(self, snapshot: Snapshot) -> None:
        """Show this from now on."""


class Silence:
    """Shows nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Show nothing."""


class PlainLines:
    """One line every few seconds, for logs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = _Rate()
        self._next_line_at = clock() + _PLAIN_LINE_SECONDS

    def show(self, snapshot: Snapshot) -> None:
        """Print the state, unless a line was printed just before."""
        now = self._clock()
        rate = self._rate.of(snapshot.finished, now)
        if now >= self._next_line_at:
            self._next_line_at = now + _PLAIN_LINE_SECONDS
            print(_words(snapshot, rate), file=sys.stderr, flush=True)


class LiveBar:
    """A bar that moves."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._rate = _Rate()

    def show(self, snapshot: Snapshot) -> None:
        """Move the bar."""
        words = _words(snapshot, self._rate.of(snapshot.finished, time.monotonic()))
        self._progress.update(
            self._task, completed=snapshot.finished, total=max(snapshot.total, 1), description=words
        )


@contextmanager
def open_display(*, quiet: bool) -> Iterator[Display]:
    """The display that fits standard error; it is cleared away at the end of the block."""
    if quiet:
        yield Silence()
    elif not sys.stderr.isatty():
        yield PlainLines()
    else:
        # Imported only where it is shown: it takes longer to load than the rest of the command line.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.table import Column  # noqa: PLC0415

        words = TextColumn(
            "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
        )
        columns = (BarColumn(20), words, TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            yield LiveBar(progress, progress.add_task("starting", total=None))


def _words(snapshot: Snapshot, rate: float) -> str:
    parts = [
        f"{snapshot.finished} pages done",
        f"{rate:.1f}/s",
        f"{snapshot.total - snapshot.finished} queued",
    ]
    if snapshot.errored is not None:
        parts.append(f"{snapshot.errored} errored")
    if snapshot.hosts:
        more = f" and {len(snapshot.hosts) - 1} more" if len(snapshot.hosts) > 1 else ""
        parts.append(f"{snapshot.hosts[0]}{more}")
    return " · ".join(parts)


class _Rate:
    """Pages per second over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, finished: int, now: float) -> float:
        self._seen.append((now, finished))
        while now - self._seen[0][0] > _RATE_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return (finished - before) / (now - since) if now > since else 0.0
