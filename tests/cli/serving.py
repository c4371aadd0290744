"""`crawl serve` in a process of its own, and a client of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.api.server import TOKEN, Server, settings
from tests.cli.process import read_until, running
from tests.fetch.origins import PUBLIC


@asynccontextmanager
async def server_process(
    data_dir: Path,
    variables: Mapping[str, str] | None = None,
    *,
    on_start: Callable[[int], None] | None = None,
) -> AsyncIterator[tuple[Server, asyncio.subprocess.Process]]:
    """A server that may crawl the public test host, with more `CRAWL_…` variables if given. `on_start` gets its
    process id before it has done anything worth mentioning."""
    env = dict(os.environ) | {
        "CRAWL_DATA_DIR": str(data_dir),
        "CRAWL_PORT": "0",
        "CRAWL_API_TOKEN": TOKEN,
        "CRAWL_EGRESS_ALLOW_CIDRS": PUBLIC,
        "CRAWL_EGRESS_ALLOWED_PORTS": "1-65535",
        "CRAWL_ALLOW_UNSANDBOXED": "1",
        **(variables or {}),
    }
    async with running("serve", env=env) as process:
        if on_start is not None:
            on_start(process.pid)
        line = await read_until(process.stderr, "Listening on")
        port = int(line.split(",")[0].rpartition(":")[2])
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=30) as client:
            yield Server(port, settings(data_dir), client), process
