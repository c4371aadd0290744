"""The limit of the machine for plain pages: fetch, find links, convert in as many processes as asked; keep nothing.

Argument: JSON with `url`, `concurrency`, `processes` (of the converter; 0: do not convert).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack

import ada_url
import aiohttp
from bs4 import BeautifulSoup
from markdownify import MarkdownConverter
from selectolax.lexbor import LexborHTMLParser


def convert(html: str) -> int:
    """The length of the page's Markdown, which itself need not come back to be thrown away."""
    return len(MarkdownConverter(heading_style="ATX").convert_soup(BeautifulSoup(html, "lxml")))


async def crawl(start: str, concurrency: int, converters: Executor | None) -> int:
    """Fetch everything on the start's host that links lead to. Returns the number of pages."""
    origin = start.split("/", 3)[:3]
    known = {start}
    queue: asyncio.Queue[str] = asyncio.Queue()
    queue.put_nowait(start)
    loop = asyncio.get_running_loop()

    async def work(session: aiohttp.ClientSession) -> None:
        while True:
            url = await queue.get()
            async with session.get(url) as response:
                body = await response.read()
            for anchor in LexborHTMLParser(body).css("a[href]"):
                link = ada_url.join_url(url, anchor.attributes["href"] or "").partition("#")[0]
                if link not in known and link.split("/", 3)[:3] == origin:
                    known.add(link)
                    queue.put_nowait(link)
            if converters is not None:
                await loop.run_in_executor(converters, convert, body.decode())
            queue.task_done()

    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(session)) for _ in range(concurrency)]
        await queue.join()
        for task in tasks:
            task.cancel()
    return len(known)


def main() -> None:
    """Crawl and tell how long it took."""
    arguments = json.loads(sys.argv[1])
    with ExitStack() as stack:
        processes = arguments["processes"]
        converters = stack.enter_context(ProcessPoolExecutor(processes)) if processes else None
        started_at = time.perf_counter()
        pages = asyncio.run(crawl(arguments["url"], arguments["concurrency"], converters))
        seconds = time.perf_counter() - started_at
    print(json.dumps({"pages": pages, "seconds": seconds}))


if __name__ == "__main__":
    main()
