"""A real HTTP server that speaks OpenAI's chat completions as far as a crawl uses them, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

#: Answers one question: its body as JSON.
Reply = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]


def says(content: object, *, tokens: tuple[int, int] | None = (100, 20)) -> Reply:
    """A well-formed answer: text as it is, anything else as JSON. `tokens`: those of the question and the answer."""
    text = content if isinstance(content, str) else json.dumps(content)
    body: dict[str, Any] = {
        "id": "x",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
    }
    if tokens is not None:
        body["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return answers(json.dumps(body))


def answers(body: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """These bytes."""

    async def reply(_question: dict[str, Any]) -> web.StreamResponse:
        data = body if isinstance(body, bytes) else body.encode()
        return web.Response(body=data, status=status, headers=headers, content_type="application/json")

    return reply


def fails(status: int, **headers: str) -> Reply:
    """An error as OpenAI words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answers('{"error": {"message": "no"}}', status, named)


async def silence(_question: dict[str, Any]) -> web.StreamResponse:
    """No answer for as long as the server lives."""
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class ModelServer:
    """Gives its replies in turn, the last one again and again. `questions` are the bodies as they came."""

    replies: Sequence[Reply]
    host: str = "127.0.0.2"
    port: int = 0
    questions: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    most_under_way: int = 0

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        question = json.loads(await request.read())
        self.questions.append(question)
        self.authorizations.append(request.headers.get("Authorization"))
        self.paths.append(request.path)
        answer = asyncio.ensure_future(
            self.replies[min(len(self.questions), len(self.replies)) - 1](question)
        )
        closing = asyncio.create_task(self.closing.wait())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.wait({answer, closing}, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else web.Response(status=500)
        finally:
            self.under_way -= 1
            closing.cancel()
            answer.cancel()

    def texts(self, number: int = -1) -> str:
        """All messages of one question."""
        return "\n".join(message["content"] for message in self.questions[number]["messages"])


@asynccontextmanager
async def model_server(*replies: Reply, host: str = "127.0.0.2") -> AsyncIterator[ModelServer]:
    """A server on a free port of `host`."""
    running = ModelServer(replies, host)
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", "/{path:.*}", running.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        running.port = runner.addresses[0][1]
        yield running
    finally:
        running.closing.set()
        await runner.cleanup()
