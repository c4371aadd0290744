"""Measuring processes: pages, seconds, CPU time of all processes, memory of the tree."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

ROOT = Path(__file__).resolve().parent.parent
#: The Python of the peers' own environment.
PEERS = ROOT / ".venv-bench" / "bin" / "python"
#: A look at all processes takes 2 ms for each of up to three trees, one at the memory of a dozen of them 30 ms: who is
#: measured pays for it, and we most, who have most processes.
_SAMPLE_SECONDS = 0.5
_MEMORY_EVERY = 4
#: A program that is not done by then hangs.
_PROGRAM_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Run:
    """One candidate in one round. `seconds` is the crawl alone; CPU and memory include the start of the program."""

    pages: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Pages per second."""
        return self.pages / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per page."""
        return self.cpu_seconds * 1000 / self.pages


class Meter:
    """While it is open: CPU seconds of some process trees, and the memory of the first of them.

    `first` has just been started, so its CPU time counts from its start; that of `others` counts from now. It
    samples: adding up what each process has waited for would miss children that changed their parent, as Chromium's
    do.
    """

    def __init__(self, first: int, *others: int) -> None:
        self._first = psutil.Process(first)
        self._roots = [self._first, *(psutil.Process(pid) for pid in others)]
        self._before = {process: _cpu(process) for root in self._roots[1:] for process in _tree(root)}
        self._seen: dict[psutil.Process, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, name="meter")
        #: What the first tree held, about every two seconds: seconds since the epoch, bytes.
        self.memory: list[tuple[float, int]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all processes seen so far."""
        return sum(seconds - self._before.get(process, 0.0) for process, seconds in self._seen.items())

    @property
    def peak_bytes(self) -> int:
        """The most that the first tree has held at once."""
        return max((held for _, held in self.memory), default=0)

    def _sample_until_stopped(self) -> None:
        number = 0
        while not self._stop.wait(_SAMPLE_SECONDS):
            self._sample()
            if number % _MEMORY_EVERY == 0:
                self.memory.append((time.time(), memory_of_tree(self._first)))
            number += 1

    def _sample(self) -> None:
        for root in self._roots:
            for process in _tree(root):
                with suppress(psutil.Error):
                    self._seen[process] = _cpu(process)


def memory_of_tree(root: psutil.Process) -> int:
    """Bytes of a process and its descendants; pages that they share count once."""
    total = 0
    for process in _tree(root):
        with suppress(psutil.Error):
            memory = process.memory_full_info()
            # Only Linux knows the proportional share; elsewhere what is the process's own comes next to it.
            total += getattr(memory, "pss", memory.uss)
    return total


def run_program(python: Path, program: str, arguments: Mapping[str, object]) -> Run:
    """Run `bench/programs/<program>.py` in a process of its own; its last line on stdout is JSON with `pages` and
    `seconds`. Raises CalledProcessError when it fails."""
    command = [str(python), str(ROOT / "bench" / "programs" / f"{program}.py"), json.dumps(arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        with Meter(process.pid) as meter:
            output, _ = process.communicate(timeout=_PROGRAM_SECONDS)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    answer = json.loads(output.splitlines()[-1])
    return Run(answer["pages"], answer["seconds"], meter.cpu_seconds, meter.peak_bytes)


def interleave(candidates: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run all candidates one after the other, `rounds` times: what disturbs the machine hits them alike."""
    runs: dict[str, list[Run]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name, run in candidates.items():
            found = run()
            runs[name].append(found)
            print(f"  round {number + 1}: {name}: {found.pages} pages, {found.rate:.1f}/s", flush=True)
    return runs


def median_rate(runs: Sequence[Run]) -> float:
    """Pages per second, median of the rounds."""
    return statistics.median(run.rate for run in runs)


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
