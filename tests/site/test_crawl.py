"""What `make crawl` does: a crawl of the sample site brings exactly what its table says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.site import expected
from tests.site.server import Site

DEPTH = 5
TIMEOUT_SECONDS = 150
#: The first page may arrive late, the last one not.
PACE_TOLERANCE_SECONDS = 0.1


async def crawl(site: Site, output: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Run the command line against the site. Its records by URL, without the port."""
    environment = {
        **os.environ,
        **site.environment,
        "CRAWL_DATA_DIR": str(output.parent / "data"),
        "CRAWL_ALLOW_UNSANDBOXED": "1",
    }
    limits = ("--limit", "200", "--depth", str(DEPTH), "--subdomains", "--output", str(output))
    command = (sys.executable, "-m", "cli", "run", site.url, *limits, *arguments)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, progress = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, progress.decode()
    records = [json.loads(line) for line in output.read_text().splitlines()]
    by_url = {site.plain(record["url"]): record for record in records}
    assert len(by_url) == len(records), "a URL was written twice"
    return by_url


def calendar_months() -> set[str]:
    """The months that are at most DEPTH links away."""
    months = [(2026, 11), (2026, 12), *((2027, month) for month in range(1, 13))]
    return {f"http://site.test/calendar/{year}/{month}" for year, month in months[:DEPTH]}


def wanted_statuses(*, rendered: bool) -> dict[str, str]:
    """The status of every record."""
    wanted = dict.fromkeys(expected.EXTERNAL, "skipped") | dict.fromkeys(expected.DISALLOWED, "disallowed")
    reached = expected.linked(rendered=rendered) | expected.in_sitemaps("site.test")
    for page in expected.PAGES:
        if page.url in reached:
            wanted[page.url] = "completed" if page.status == 200 else "errored"
    return wanted | dict.fromkeys(calendar_months(), "completed")


def check_manners(site: Site) -> None:
    """What the origin saw: nothing forbidden, nothing twice, and the pace that robots.txt asks for."""
    asked = Counter((request.host, request.path) for request in site.requests)
    assert ("site.test", "/private/roster.html") not in asked
    documents = {key: count for key, count in asked.items() if key[1].endswith((".html", "/"))}
    # The target of a redirect is fetched for the page that leads there, too.
    redirect_targets = {("site.test", "/about.html"), ("site.test", "/routes/")}
    assert {key for key, count in documents.items() if count > 1} <= redirect_targets
    # robots.txt itself is read before the delay is known. The whole is compared, not each gap: on a busy machine a
    # page may be late, and the one after it is then not.
    _, first, *_, last = (request.monotonic for request in site.requests if request.host == "docs.site.test")
    pages = sum(request.host == "docs.site.test" for request in site.requests) - 1
    assert last - first >= (pages - 1) * expected.DOCS_CRAWL_DELAY_SECONDS - PACE_TOLERANCE_SECONDS


@pytest.mark.slow
async def test_a_static_crawl_finds_what_needs_no_scripts(site: Site, tmp_path: Path) -> None:
    records = await crawl(site, tmp_path / "pages.jsonl", "--no-render")
    assert {url: record["status"] for url, record in records.items()} == wanted_statuses(rendered=False)
    for url, text in expected.LEGACY_TEXT.items():
        assert text in records[url]["markdown"]
    check_manners(site)


@pytest.mark.browser
async def test_a_rendered_crawl_finds_everything(site: Site, tmp_path: Path) -> None:
    records = await crawl(site, tmp_path / "pages.jsonl")
    assert {url: record["status"] for url, record in records.items()} == wanted_statuses(rendered=True)
    for url, text in {**expected.LEGACY_TEXT, **expected.RENDERED_TEXT}.items():
        assert text in records[url]["markdown"]
    check_manners(site)
