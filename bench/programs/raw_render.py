"""The limit of the machine for rendered pages: Playwright, a few pages that are used again and again; keep nothing.

The wait, the DOM and the links are one `evaluate()`, and a page is replaced every 50 navigations: the fastest way
that does not grow. Argument: JSON with `url`, `concurrency`, `chromium`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from playwright.async_api import BrowserContext, async_playwright

_NAVIGATIONS_PER_PAGE = 50
_READ = """() => new Promise((done) => {
  const read = () => done([document.documentElement.outerHTML, document.title,
    Array.from(document.links, (link) => link.href.split("#")[0])]);
  const root = document.documentElement;
  if (root.dataset.ready) return read();
  new MutationObserver((_, observer) => { observer.disconnect(); read(); })
    .observe(root, { attributes: true, attributeFilter: ["data-ready"] });
})"""


async def crawl(context: BrowserContext, start: str, concurrency: int) -> int:
    """Render everything on the start's host that links lead to. Returns the number of pages."""
    origin = start.split("/", 3)[:3]
    known = {start}
    queue: asyncio.Queue[str] = asyncio.Queue()
    queue.put_nowait(start)

    async def work() -> None:
        while True:
            page = await context.new_page()
            for _ in range(_NAVIGATIONS_PER_PAGE):
                await page.goto(await queue.get(), wait_until="load")
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


async def run(url: str, concurrency: int, chromium: str) -> tuple[int, float]:
    """Pages, and seconds from the first page on: the browser is there before."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium)
        context = await browser.new_context(viewport={"width": 1920, "height": 1080})
        started_at = time.perf_counter()
        pages = await crawl(context, url, concurrency)
        seconds = time.perf_counter() - started_at
        await browser.close()
    return pages, seconds


def main() -> None:
    """Crawl and tell how long it took."""
    arguments = json.loads(sys.argv[1])
    pages, seconds = asyncio.run(run(arguments["url"], arguments["concurrency"], arguments["chromium"]))
    print(json.dumps({"pages": pages, "seconds": seconds}))


if __name__ == "__main__":
    main()
