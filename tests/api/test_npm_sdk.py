"""Cloudflare's TypeScript SDK from npm against our server, where Node is present."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.server import TOKEN, Server
from tests.api.test_crawl import html, lay_out
from tests.fetch.origins import Origin

#: The version that the shapes were checked with.
PACKAGE = "cloudflare@7.3.0"
SCRIPT = Path(__file__).with_name("npm_sdk.mjs")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="Node is not installed"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK installed; no script of a package is run."""
    folder = tmp_path_factory.mktemp("npm")
    shutil.copy(SCRIPT, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install {PACKAGE}: {done.stderr[-200:]}")
    return folder


async def test_the_typescript_sdk_creates_polls_pages_and_cancels(
    project: Path, shared_server: Server, site: Origin, endless_seed: str
) -> None:
    lay_out(site, home=html("/a", "/b"), a=html(), b=html())
    environment = {
        **os.environ,
        "BASE_URL": f"{shared_server.origin}/client/v4",
        "TOKEN": TOKEN,
        "ACCOUNT": "typescript",
        "SEED": site.url("/"),
        "ENDLESS": endless_seed,
    }
    process = await asyncio.create_subprocess_exec(
        "node", SCRIPT.name, cwd=project, env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(output) == {
        "status": "completed",
        "total": 3,
        "urls": [site.url("/"), site.url("/a"), site.url("/b")],
        "cancelled": True,
        "again": 400,
    }
