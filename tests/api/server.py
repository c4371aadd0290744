"""A real server on a free port of loopback, and a client that speaks to it without any SDK in between."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from api.app import create_app
from crawler.settings import Settings
from tests.fetch.origins import PUBLIC, PUBLIC_TOO

TOKEN = "the-token-of-the-tests"
START_SECONDS = 30.0


def settings(data_dir: Path, **changes: object) -> Settings:
    """Settings of a server that may crawl the two public test hosts and has no limits but those in `changes`."""
    defaults: dict[str, object] = {
        "data_dir": data_dir,
        "api_token": TOKEN,
        "rate_limit_per_second": 0,
        "default_delay": 0,
        "egress_allow_cidrs": (PUBLIC, PUBLIC_TOO),
        "allow_unsandboxed": True,
        "stop_seconds": 1,
        "tick_seconds": 0.2,
        # All tests crawl the same two hosts, on ports of their own: what one has closed must not hold up the others.
        "host_failures_to_wait": 1_000,
        "host_failures_to_give_up": 1_000,
    }
    return Settings.load(**(defaults | changes))


@dataclass
class Server:
    """A running server."""

    port: int
    settings: Settings
    #: Knows no token.
    http: httpx.AsyncClient
    token: str = TOKEN
    account: str = "acc"
    prefix: str = "/client/v4"
    product: str = "browser-rendering"

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        """The URL of `/crawl`."""
        return f"{self.origin}{self.prefix}/accounts/{self.account}/{self.product}/crawl"

    async def request(self, method: str, url: str = "", **options: Any) -> httpx.Response:
        """One request to `/crawl` + `url`, or to an absolute URL, with the token."""
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        url = url if url.startswith("http") else self.base + url
        return await self.http.request(method, url, headers=headers, **options)

    async def post(self, body: Mapping[str, object], **options: Any) -> httpx.Response:
        return await self.request("POST", json=body, **options)

    async def create(self, **fields: object) -> str:
        """The id of a new static crawl."""
        answer = await self.post({"render": False, **fields})
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        assert isinstance(result, str)
        return result

    async def read(self, crawl_id: str, query: str = "") -> dict[str, Any]:
        """The `result` of GET."""
        answer = await self.request("GET", f"/{crawl_id}{query}")
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()["result"]
        return result

    async def wait(
        self, crawl_id: str, condition: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """The crawl once it has ended, or once `condition` holds for it."""
        holds = condition or (lambda result: result["status"] != "running")
        async with asyncio.timeout(60):
            while True:
                result = await self.read(crawl_id)
                if holds(result):
                    return result
                await asyncio.sleep(0.05)

    async def crawl(self, **fields: object) -> dict[str, Any]:
        """A static crawl from its start to its end."""
        return await self.wait(await self.create(**fields))


@asynccontextmanager
async def serving(chosen: Settings) -> AsyncIterator[Server]:
    """Run a server for the time of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(chosen), log_config=None, lifespan="on")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(START_SECONDS):
                while not server.started:
                    assert not task.done(), "the server did not start"
                    await asyncio.sleep(0.01)
            # No TLS is spoken; loading certificates would be the slowest part of most tests.
            async with httpx.AsyncClient(verify=False, trust_env=False, timeout=30) as client:
                yield Server(listener.getsockname()[1], chosen, client)
        finally:
            server.should_exit = True
            await task
