"""Whether there is memory left for more pages: on this machine, and in every control group that the process is in.

Where there is not, the kernel soon kills somebody, and rarely the one whose page it was: so no more pages are begun.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from crawler.settings import Settings

_GROUPS = Path("/sys/fs/cgroup")
#: A look takes a tenth of a millisecond.
_LOOK_SECONDS = 1.0
#: Of what there is in all, the most that has to be free: a small container shall work, too.
_MOST = 1 / 8
#: So many times as much has to be free before pages are begun again, lest they are stopped again at once.
_RELIEF = 1.5


@dataclass(frozen=True, slots=True)
class _Space:
    """Memory of the machine or of a control group, in bytes."""

    name: str
    free: int
    total: int


class Memory:
    """One per process. Looks once a second at most."""

    def __init__(self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wanted = settings.min_free_memory_bytes
        self._monotonic = monotonic
        self._look_at = 0.0
        self._shortage = ""

    def shortage(self) -> str:
        """What is short of memory, in one sentence; "" when there is enough."""
        if self._wanted and self._monotonic() >= self._look_at:
            self._shortage = self._look()
            self._look_at = self._monotonic() + _LOOK_SECONDS
        return self._shortage

    def _look(self) -> str:
        relief = _RELIEF if self._shortage else 1.0
        for space in _spaces():
            needed = min(self._wanted, space.total * _MOST) * relief
            if space.free < needed:
                return f"{space.free >> 20} MiB of memory are free {space.name}, {round(needed) >> 20} are needed"
        return ""


def _spaces() -> Iterator[_Space]:
    machine = psutil.virtual_memory()
    yield _Space("on this machine", machine.available, machine.total)
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                yield from _limits(_GROUPS, path, "memory.max", "memory.current", "")
            elif "memory" in controllers.split(","):
                v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
                yield from _limits(_GROUPS / "memory", path, *v1)


def _limits(root: Path, path: str, limit: str, usage: str, prefix: str) -> Iterator[_Space]:
    """The limits of a group and of all around it. In a container the path may be the host's; then there is only the
    root, which is the container's own group."""
    group = root / path.lstrip("/")
    for place in (group, *group.parents):
        if not place.is_relative_to(root):
            return
        # A group may have no limit, end meanwhile, or be a root, which has no such files.
        with suppress(OSError, ValueError):
            total = int((place / limit).read_text())
            used = int((place / usage).read_text()) - _droppable(place, prefix)
            yield _Space("in the control group", total - used, total)


def _droppable(place: Path, prefix: str) -> int:
    """Contents of files that the kernel drops when it needs the room."""
    names = {f"{prefix}inactive_file", f"{prefix}active_file"}
    fields = (line.split() for line in (place / "memory.stat").read_text().splitlines())
    return sum(int(value) for name, value in fields if name in names)
