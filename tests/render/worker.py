"""A process of its own that renders: for tests that kill it. Prints the pids of its browser, then waits."""

from __future__ import annotations

import asyncio
import sys

from tests.render.conftest import rendering


async def main() -> None:
    async with rendering() as renderer:
        await renderer.renderer.check()
        browser = renderer.processes()
        driver = browser[0].parent()
        assert driver is not None
        pids = (str(process.pid) for process in (*browser, driver))
        sys.stdout.write(" ".join(pids) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main())
