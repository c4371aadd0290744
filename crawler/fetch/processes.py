"""The processes of one browser: Playwright's driver, Chromium, and all that Chromium started."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass

import psutil

_NETWORK_SERVICE = "--utility-sub-type=network.mojom.NetworkService"


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A browser's main process, if it was found, and the driver that started it."""

    main: psutil.Process | None
    driver: psutil.Process | None

    @classmethod
    def find(cls, marker: str) -> ProcessTree:
        """The browser below this process whose command line has the marker."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                command = process.cmdline()
                if any(marker in word for word in command) and "--type=" not in " ".join(command):
                    return cls(process, process.parent())
        return cls(None, None)

    def is_alive(self) -> bool:
        """Whether both the browser and its driver run."""
        return all(process is not None and runs(process) for process in (self.main, self.driver))

    def network(self) -> psutil.Process | None:
        """The process that does the browser's networking, where that is a process of its own."""
        for process in self._browser():
            with suppress(psutil.Error):
                if _NETWORK_SERVICE in process.cmdline():
                    return process
        return None

    def memory_bytes(self) -> int:
        """Memory that the browser's processes have for themselves; shared pages would count many times over."""
        return sum(_private_bytes(process) for process in self._browser())

    def kill_largest(self) -> None:
        """Kill the one of the browser's processes that takes most memory. If it is the main one, which holds what
        pages store, that is the end of the browser."""
        processes = self._browser()
        if processes:
            _kill(max(processes, key=_private_bytes))

    def kill_browser(self) -> None:
        """Kill the browser's processes, all of them, and leave the driver alone."""
        if self.main is None:
            return
        for process in self._browser():
            _kill(process)
        # Playwright makes the browser the leader of a process group, so none escapes for want of a parent.
        if self.main.pid != os.getpgid(0):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.main.pid, signal.SIGKILL)

    async def kill(self, longest_seconds: float) -> None:
        """Kill driver and browser, and wait until they are gone."""
        self.kill_browser()
        if self.driver is not None:
            _kill(self.driver)
        known = [process for process in (self.main, self.driver) if process is not None]
        await asyncio.to_thread(psutil.wait_procs, known, longest_seconds)

    def _browser(self) -> list[psutil.Process]:
        if self.main is None:
            return []
        with suppress(psutil.Error):
            return [self.main, *self.main.children(recursive=True)]
        return []


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended; a zombie has."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _private_bytes(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        memory = process.memory_info()
        return int(memory.rss - getattr(memory, "shared", 0))
    return 0


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()
