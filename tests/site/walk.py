"""A crawl of the sample site in thirty lines, to hold `expected.py` against. It shares nothing with the crawler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

from tests.site.expected import CALENDAR
from tests.site.server import HOSTS

#: Asks for one live URL: (status, final URL, markup, or None for what is not HTML).
Load = Callable[[str], Awaitable[tuple[int, str, str | None]]]


async def walk(start: str, load: Load) -> dict[str, tuple[int, int]]:
    """Follow all links breadth first: URL to (depth, status). Leaves out other sites, the private part and the
    calendar after its first month."""
    found = {start: (0, 0)}
    queue = [start]
    for url in queue:
        depth = found[url][0]
        status, final_url, markup = await load(url)
        found[url] = (depth, status)
        for link in links(final_url, markup or "") if status == 200 else ():
            if link not in found and wanted(link):
                found[link] = (depth + 1, 0)
                queue.append(link)
    return found


def wanted(url: str) -> bool:
    """Whether the walk goes there."""
    parts = urlsplit(url)
    endless = parts.path.startswith("/calendar/") and parts.path != urlsplit(CALENDAR).path
    return parts.hostname in HOSTS and not parts.path.startswith("/private/") and not endless


def links(base: str, markup: str) -> list[str]:
    """The targets of all `<a href>`, absolute and without fragment, in document order."""
    parser = _Anchors()
    parser.feed(markup)
    return [urldefrag(urljoin(base, href)).url for href in parser.hrefs]


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href is not None:
            self.hrefs.append(href)
