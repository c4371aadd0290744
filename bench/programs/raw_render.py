"""The limit of the machine for rendered pages: Playwright, a few pages that are used again and again; keep nothing.

The wait, the DOM and the links are one `evaluate()`, and a page is replaced every 50 navigations: the fastest way
that does not grow. Argument: JSON with `url`, `concurrency`, `chromium`, and `has_proxy`: whether the pages come
through our egress proxy, in this process as in a worker's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing

from playwright.async_api import BrowserContext, async_playwright

from crawler.fetch.chromium import PROXY_EVERYTHING
from crawler.fetch.egress import Egress
from crawler.fetch.proxy import EgressProxy, Listener
from crawler.settings import Settings

_NAVIGATIONS_PER_PAGE = 50
_PAGE_SECONDS = 30.0
_READ = """() => new Promise((done) => {
  const read = () => done([document.documentElement.outerHTML, document.title,
    Array.from(document.links, (link) => link.href.split("#")[0])]);
  const root = document.documentElement;
  if (root.dataset.ready) return read();
  new MutationObserver((_, observer) => { observer.disconnect(); read(); })
    .observe(root, { attributes: true, attributeFilter: ["data-ready"] });
})"""


async def crawl(context: BrowserContext, listener: Listener | None, start: str, concurrency: int) -> int:
    """Render everything on the start's host that links lead to. Returns the number of pages."""
    origin = start.split("/", 3)[:3]
    known = {start}
    queue: asyncio.Queue[str] = asyncio.Queue()
    queue.put_nowait(start)

    async def work() -> None:
        while True:
            page = await context.new_page()
            for _ in range(_NAVIGATIONS_PER_PAGE):
                url = await queue.get()
                if listener is not None:
                    listener.start_page(_PAGE_SECONDS)
                await page.goto(url, wait_until="load")
                _html, _title, links = await page.evaluate(_READ)
                for link in links:
                    if link not in known and link.split("/", 3)[:3] == origin:
                        known.add(link)
                        queue.put_nowait(link)
                queue.task_done()
            await page.close()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for _ in range(concurrency)]
        await queue.join()
        for task in tasks:
            task.cancel()
    return len(known)


async def run(url: str, concurrency: int, chromium: str, *, has_proxy: bool) -> tuple[int, float]:
    """Pages, and seconds from the first page on: the browser is there before."""
    async with AsyncExitStack() as exits:
        playwright = await exits.enter_async_context(async_playwright())
        listener = await exits.enter_async_context(_listener()) if has_proxy else None
        browser = await playwright.chromium.launch(executable_path=chromium)
        context = await browser.new_context(
            viewport={"width": 1920, "height": 1080},
            proxy={"server": f"http://127.0.0.1:{listener.port}", "bypass": PROXY_EVERYTHING}
            if listener
            else None,
        )
        started_at = time.perf_counter()
        pages = await crawl(context, listener, url, concurrency)
        seconds = time.perf_counter() - started_at
        await browser.close()
    return pages, seconds


@asynccontextmanager
async def _listener() -> AsyncIterator[Listener]:
    settings = Settings.load(egress_allow_cidrs="127.0.0.0/8")
    with closing(Egress(settings)) as egress:
        async with EgressProxy(egress, settings).listener() as listener:
            yield listener


def main() -> None:
    """Crawl and tell how long it took."""
    arguments = json.loads(sys.argv[1])
    pages, seconds = asyncio.run(run(**arguments))
    print(json.dumps({"pages": pages, "seconds": seconds}))


if __name__ == "__main__":
    main()
