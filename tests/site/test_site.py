"""The sample site is what `expected.py` says: other tests rely on it."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright

from tests.site import expected
from tests.site.server import HOSTS, PAGES, Site
from tests.site.walk import Load, links, walk


class Client:
    """Asks for live URLs without a resolver: the name goes into the Host header only."""

    def __init__(self, site: Site, session: aiohttp.ClientSession) -> None:
        self._site = site
        self._session = session

    async def get(self, url: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
        parts = urlsplit(url)
        target = parts._replace(netloc=f"{self._site.address}:{self._site.port}").geturl()
        headers["Host"] = parts.netloc
        async with self._session.get(target, headers=headers, allow_redirects=False) as response:
            return response, await response.read()

    async def load(self, url: str) -> tuple[int, str, str | None]:
        """Follow redirects; the markup if it is HTML."""
        response, body = await self.get(url)
        if "Location" in response.headers:
            return await self.load(urljoin(url, response.headers["Location"]))
        markup = body.decode(errors="replace") if response.content_type == "text/html" else None
        return response.status, url, markup


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(site, session)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    from crawler.fetch.chromium import find_chromium
    from crawler.settings import Settings

    path = find_chromium(Settings.load(allow_unsandboxed=True))
    async with async_playwright() as playwright:
        rules = ",".join(f"MAP {host} 127.0.0.1" for host in HOSTS)
        running = await playwright.chromium.launch(
            executable_path=path, args=[f"--host-resolver-rules={rules}"]
        )
        yield running
        await running.close()


async def test_links_without_scripts_lead_to_the_static_pages(site: Site, client: Client) -> None:
    await check_walk(site, client.load, rendered=False)


@pytest.mark.browser
async def test_links_with_scripts_lead_to_all_pages(site: Site, client: Client, browser: Browser) -> None:
    page = await browser.new_page()

    async def load(url: str) -> tuple[int, str, str | None]:
        plain = site.plain(url)
        if urlsplit(url).path.startswith("/files/"):
            return await client.load(url)
        response = await page.goto(url)
        assert response is not None
        if plain in expected.RENDERED_TEXT:
            await page.get_by_text(expected.RENDERED_TEXT[plain]).wait_for()
        return response.status, page.url, await page.content()

    await check_walk(site, load, rendered=True)
    assert not [request for request in site.requests if request.path == "/private/roster.html"]


async def check_walk(site: Site, load: Load, *, rendered: bool) -> None:
    found = await walk(site.url, load)
    wanted = {
        page.url: (page.depth, page.status)
        for page in expected.PAGES
        if page.url in expected.linked(rendered=rendered)
    }
    assert {site.plain(url): seen for url, seen in found.items()} == wanted


async def test_every_page_is_what_the_table_says(site: Site, client: Client) -> None:
    for page in expected.PAGES:
        response, _ = await client.get(site.live(page.url))
        if page.final_url:
            _, final_url, _ = await client.load(site.live(page.url))
            assert response.status in (301, 302), page.url
            assert site.plain(final_url) == page.final_url
        else:
            assert (response.status, response.content_type) == (page.status, page.content_type), page.url


async def test_every_page_file_is_in_the_table() -> None:
    files = {f"http://{file.relative_to(PAGES)}".removesuffix("index.html") for file in PAGES.rglob("*.html")}
    assert files - {page.url for page in expected.PAGES} == expected.DISALLOWED


async def test_sitemaps_list_their_pages(site: Site, client: Client) -> None:
    async def locations(url: str) -> list[str]:
        _, body = await client.get(url)
        text = (gzip.decompress(body) if url.endswith(".gz") else body).decode()
        return re.findall("<loc>(.*?)</loc>", text)

    for host in HOSTS:
        _, robots = await client.get(site.live(f"http://{host}/robots.txt"))
        pending = re.findall("Sitemap: (.*)", robots.decode())
        pages: set[str] = set()
        for url in pending:
            for location in await locations(url):
                if "/sitemap" in location:
                    pending.append(location)
                else:
                    pages.add(site.plain(location))
        assert pages == expected.in_sitemaps(host)


async def test_pages_in_old_encodings_say_so(site: Site, client: Client) -> None:
    jose, tanaka = expected.LEGACY_TEXT
    response, body = await client.get(site.live(jose))
    assert response.charset == "windows-1252"
    assert expected.LEGACY_TEXT[jose] in body.decode("windows-1252")
    response, body = await client.get(site.live(tanaka))
    assert response.charset is None
    assert b'<meta charset="shift_jis">' in body
    assert expected.LEGACY_TEXT[tanaka] in body.decode("shift_jis")


async def test_what_scripts_write_is_not_in_the_markup(site: Site, client: Client) -> None:
    for url, text in expected.RENDERED_TEXT.items():
        _, _, markup = await client.load(site.live(url))
        assert markup is not None
        assert text not in re.sub("<script.*?</script>", "", markup, flags=re.DOTALL)


async def test_the_calendar_has_no_end(site: Site, client: Client) -> None:
    url = site.live(expected.CALENDAR)
    for _ in range(30):
        status, _, markup = await client.load(url)
        assert status == 200
        [url] = links(url, markup or "")
    assert site.plain(url) == "http://site.test/calendar/2029/5"


async def test_the_index_links_to_what_must_not_be_fetched(site: Site, client: Client) -> None:
    _, _, markup = await client.load(site.url)
    found = {site.plain(link) for link in links(site.url, markup or "")}
    assert found >= expected.DISALLOWED
    assert found & expected.EXTERNAL


async def test_an_unchanged_page_is_not_sent_again(site: Site, client: Client) -> None:
    url = site.live("http://site.test/about.html")
    first, body = await client.get(url)
    assert body
    for header in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        again, nothing = await client.get(url, **header)
        assert (again.status, nothing) == (304, b"")
    changed, _ = await client.get(url, **{"If-None-Match": '"other"'})
    assert changed.status == 200


async def test_the_log_tells_who_asked_for_what(site: Site, client: Client) -> None:
    await client.get(site.live("http://docs.site.test/faq.html?x=1"), **{"User-Agent": "Probe/1"})
    [request] = site.requests
    assert (request.host, request.path, request.user_agent, request.status) == (
        "docs.site.test",
        "/faq.html?x=1",
        "Probe/1",
        200,
    )


async def test_files_outside_the_site_are_not_served(site: Site, client: Client) -> None:
    for url in ("http://site.test/%2e%2e/%2e%2e/server.py", "http://site.test/..%2f..%2fexpected.py"):
        response, _ = await client.get(site.live(url))
        assert response.status == 404
    response, _ = await client.get(site.live("http://other.test/"))
    assert response.status == 421


def test_a_command_runs_with_what_reaches_the_site(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f'echo "$1 $CRAWL_EGRESS_HOSTS $CRAWL_EGRESS_ALLOW_CIDRS" > {seen}; exit 3'
    command = [sys.executable, "-m", "tests.site", "--", "sh", "-c", script, "sh", "{url}"]
    assert subprocess.run(command, check=False).returncode == 3
    assert re.fullmatch(
        r"http://site\.test:\d+/ site\.test=127\.0\.0\.1,docs\.site\.test=127\.0\.0\.1 127\.0\.0\.1/32\n",
        seen.read_text(),
    )
