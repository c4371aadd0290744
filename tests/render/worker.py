"""A process of its own that renders, for tests that kill it: prints the pids of its browser, and waits."""

from __future__ import annotations

import asyncio
import sys

from tests.fetch.origins import PUBLIC
from tests.render.conftest import rendering, serving


async def main() -> None:
    async with rendering() as renderer, serving(PUBLIC) as site:
        site.routes["/"] = "<title>t</title>"
        await renderer.page(site.url())
        browser = renderer.processes()
        driver = browser[0].parent()
        assert driver is not None
        pids = (str(process.pid) for process in (*browser, driver))
        sys.stdout.write(" ".join(pids) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main())
