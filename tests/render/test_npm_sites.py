"""Documentation sites that exist in the browser only, built from their npm packages: docsify and Swagger UI."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from crawler.fetch.chromium import find_chromium
from crawler.model import UrlStatus
from crawler.settings import Settings
from tests.engine.conftest import Engines, engines
from tests.fetch.origins import PUBLIC
from tests.render.conftest import Origin

__all__ = ["engines"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed"),
]

SITES = Path(__file__).with_name("sites")
PACKAGES = ("docsify@4.13.1", "swagger-ui-dist@5.35.0")
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json"}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which npm has put the packages; no script of a package is run."""
    if find_chromium(Settings.load()) is None:
        pytest.skip("no Chromium is installed")
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", *PACKAGES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=150, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {PACKAGES}: {done.stderr[-200:]}")
    return folder / "node_modules"


def lay_out(site: Origin, files: dict[str, Path]) -> None:
    """Serve files by their kind."""
    for path, file in files.items():
        kind = TYPES.get(file.suffix, "text/plain")
        site.routes[path] = web.Response(
            body=file.read_bytes(), headers={"Content-Type": f"{kind}; charset=utf-8"}
        )


async def test_f18_a_docsify_site_is_crawled(engines: Engines, packages: Path, site: Origin) -> None:
    """Routes behind `#/` are one document with the start page: it is what the start URL shows."""
    library = packages / "docsify" / "lib"
    pages = {f"/{path.name}": path for path in (SITES / "docsify").iterdir()}
    lay_out(site, {"/": SITES / "docsify" / "index.html", "/docsify.js": library / "docsify.min.js", **pages})
    async with engines(egress_allow_cidrs=(PUBLIC,)) as engine:
        _, records = await engine.crawl(
            site.url(), render=True, limit=5, formats=["markdown"], source="links"
        )
    record = records[site.url()]
    assert record.status is UrlStatus.COMPLETED
    assert "# [Tidewater handbook](" in (record.markdown or "")
    assert "Moorings are booked by the week" in (record.markdown or "")
    # What docsify itself adds from _sidebar.md.
    assert "* [Harbour rules](" in (record.markdown or "")
    assert list(records) == [site.url()]
    assert site.count("/README.md") >= 1


async def test_a_swagger_ui_page_is_crawled(engines: Engines, packages: Path, site: Origin) -> None:
    bundle = packages / "swagger-ui-dist"
    lay_out(
        site,
        {
            "/": SITES / "swagger" / "index.html",
            "/api.json": SITES / "swagger" / "api.json",
            "/swagger-ui-bundle.js": bundle / "swagger-ui-bundle.js",
            "/swagger-ui.css": bundle / "swagger-ui.css",
        },
    )
    async with engines(egress_allow_cidrs=(PUBLIC,)) as engine:
        _, records = await engine.crawl(
            site.url(), render=True, limit=3, formats=["markdown"], source="links",
            waitForSelector={"selector": ".opblock"},
        )  # fmt: skip
    record = records[site.url()]
    assert record.status is UrlStatus.COMPLETED
    described = json.loads((SITES / "swagger" / "api.json").read_text())
    markdown = (record.markdown or "").replace("\u200b", "")
    assert described["info"]["title"] in markdown
    for path, operations in described["paths"].items():
        for operation in operations.values():
            assert operation["summary"] in markdown, path
