"""Scrapy, writing a file per page: runs in the environment of the peers, so it imports nothing of ours.

Argument: JSON with `url`, `concurrency`, `folder`, `markdown` (write Markdown too).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import scrapy
from bs4 import BeautifulSoup
from markdownify import MarkdownConverter
from scrapy.crawler import CrawlerProcess
from scrapy.http import Response
from scrapy.linkextractors import LinkExtractor


class FilesSpider(scrapy.Spider):  # type: ignore[misc]
    """Follows every link on the start's host and writes what it gets."""

    name = "files"

    def __init__(self, url: str, folder: str, *, markdown: bool) -> None:
        super().__init__()
        self.start_urls = [url]
        self._prefix = "/".join(url.split("/")[:3]) + "/"
        self._folder = Path(folder)
        self._markdown = markdown
        self._links = LinkExtractor()
        self.pages = 0
        self.started_at = time.perf_counter()

    def parse(self, response: Response, **_: Any) -> Iterator[scrapy.Request]:
        """Keep the page, go on to its links."""
        self.pages += 1
        name = sha256(response.url.encode()).hexdigest()
        (self._folder / f"{name}.html").write_bytes(response.body)
        if self._markdown:
            text = MarkdownConverter(heading_style="ATX").convert_soup(BeautifulSoup(response.text, "lxml"))
            (self._folder / f"{name}.md").write_text(text)
        for link in self._links.extract_links(response):
            if link.url.startswith(self._prefix):
                yield scrapy.Request(link.url)


def main() -> None:
    """Crawl and tell how long it took: from the opening of the spider to its end."""
    arguments = json.loads(sys.argv[1])
    process = CrawlerProcess(
        {
            "CONCURRENT_REQUESTS": arguments["concurrency"],
            "CONCURRENT_REQUESTS_PER_DOMAIN": arguments["concurrency"],
            "DOWNLOAD_DELAY": 0,
            # All that it can do without is off: it shall be as fast as it can.
            "ROBOTSTXT_OBEY": False,
            "COOKIES_ENABLED": False,
            "REFERER_ENABLED": False,
            "RETRY_ENABLED": False,
            "REDIRECT_ENABLED": False,
            "METAREFRESH_ENABLED": False,
            "HTTPPROXY_ENABLED": False,
            "COMPRESSION_ENABLED": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_ENABLED": False,
        }
    )
    crawler = process.create_crawler(FilesSpider)
    process.crawl(crawler, arguments["url"], arguments["folder"], markdown=arguments["markdown"])
    process.start()
    spider = crawler.spider
    print(json.dumps({"pages": spider.pages, "seconds": time.perf_counter() - spider.started_at}))


if __name__ == "__main__":
    main()
