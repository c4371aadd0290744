"""The environment that a command is started in, and the site that it crawls."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.cli.origin import Chain


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A clean environment with a data folder of its own and no politeness towards loopback."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRAWL_")}
    kept = {name: os.environ[name] for name in ("CRAWL_CHROMIUM",) if name in os.environ}
    return {
        **inherited,
        **kept,
        "CRAWL_DATA_DIR": str(tmp_path / "data"),
        "CRAWL_DEFAULT_DELAY": "0",
        "CRAWL_ALLOW_UNSANDBOXED": "1",
        # Tests read what is printed line by line.
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    """Twelve pages in a row."""
    async with Chain(12) as chain:
        yield chain


@pytest.fixture
def unused_url() -> Iterator[str]:
    """A URL at which nobody answers."""
    with socket.socket() as bound:
        # Bound but not listening: nobody else gets the port, and whoever connects is refused.
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
