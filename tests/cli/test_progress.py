"""Progress on a terminal and in a log."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

import pytest

from cli.progress import PlainLines, Snapshot
from tests.cli.origin import Chain
from tests.cli.process import ROOT


def test_a_log_gets_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    lines = PlainLines(lambda: now)
    for finished in range(12):
        lines.show(Snapshot(finished, 20, errored=1, hosts=("a.test", "b.test")))
        now += 1.0

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "5 pages done · 1.0/s · 15 queued · 1 errored · a.test and 1 more",
        "10 pages done · 1.0/s · 10 queued · 1 errored · a.test and 1 more",
    ]


async def test_a_terminal_gets_a_bar_that_moves_and_goes(chain: Chain, env: dict[str, str]) -> None:
    chain.hold("/6")
    controller, terminal = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "run", chain.url, "--no-render", "--limit", "100"),
        cwd=ROOT,
        env={**env, "TERM": "xterm", "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    shown = await asyncio.to_thread(read_terminal, controller, until=b"6 pages done")
    # The page that is held is being fetched, or will be in a moment.
    shown += await asyncio.to_thread(read_terminal, controller, until=b"127.0.0.1")
    chain.release()
    shown += await asyncio.to_thread(read_terminal, controller)
    await process.communicate()
    os.close(controller)

    assert process.returncode == 0, shown
    assert "1 queued · 0 errored · 127.0.0.1" in shown
    assert "13 pages completed" in shown.rpartition("\x1b[2K")[2]


def read_terminal(controller: int, *, until: bytes | None = None) -> str:
    """What a terminal is sent: up to `until`, else until nobody holds it any more."""
    read = b""
    with suppress(OSError):  # Linux ends a terminal that everybody has left with EIO
        while until is None or until not in read:
            if not (data := os.read(controller, 65536)):
                break
            read += data
    return read.decode(errors="replace")
