"""Serve the sample site: `python -m tests.site [--port N] [--ready-file FILE] [-- COMMAND …]`.

With COMMAND, run that with the settings that reach the site, put the site's address in place of `{url}`, and end
with its exit code. Without, serve until interrupted; FILE then gets the address once the site answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from tests.site.server import Site


async def serve(port: int, ready_file: Path | None) -> int:
    """Serve until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    async with Site(port=port) as site:
        settings = " ".join(f"{name}={value}" for name, value in site.environment.items())
        sys.stderr.write(f"sample site at {site.url}, to be crawled with {settings}\n")
        if ready_file is not None:
            # Renamed into place: who waits for the file never reads half of it.
            draft = ready_file.with_name(f"{ready_file.name}.part")
            draft.write_text(site.url)
            draft.replace(ready_file)
        await stopped.wait()
    return 0


async def run(port: int, command: list[str]) -> int:
    """Serve while `command` runs; its exit code, or 128 + the signal that ended it."""
    async with Site(port=port) as site:
        arguments = [site.url if argument == "{url}" else argument for argument in command]
        environment = {**os.environ, **site.environment}
        process = await asyncio.create_subprocess_exec(*arguments, env=environment)
        # Ctrl-C reaches the command too; it decides how to end, and the site stays up until then.
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, forward, process, signum)
        code = await process.wait()
    return code if code >= 0 else 128 - code


def forward(process: asyncio.subprocess.Process, signum: signal.Signals) -> None:
    """Pass on a signal that was meant for us; one from the keyboard has reached the whole group already."""
    if signum != signal.SIGINT:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signum)


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.site", description="Serve the bundled sample site."
    )
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--ready-file", type=Path, help="written with the address once the site answers")
    parser.add_argument("command", nargs="*", help="run this, with {url} replaced, and stop with it")
    arguments = parser.parse_args()
    if arguments.command:
        return asyncio.run(run(arguments.port, arguments.command))
    return asyncio.run(serve(arguments.port, arguments.ready_file))


if __name__ == "__main__":
    sys.exit(main())
