"""A renderer on a real Chromium, and origins that answer with what a test gives them."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from aiohttp import web

from crawler.fetch.chromium import find_chromium
from crawler.fetch.egress import Egress
from crawler.fetch.processes import runs
from crawler.fetch.proxy import EgressProxy
from crawler.fetch.render_options import RenderOptions
from crawler.fetch.renderer import Renderer
from crawler.fetch.visit import OnDocument
from crawler.model import Failure, Refusal, Rendered
from crawler.settings import Settings
from tests.fetch.conftest import canary
from tests.fetch.origins import PUBLIC, PUBLIC_TOO, Answers

__all__ = ["canary"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = str | web.Response | Handler
Outcome = Rendered | Failure | Refusal

#: Generous, because the machine may be slow; a test that hangs still ends.
DEADLINE_SECONDS = 40.0
#: Little enough for a machine that has much else to do.
_BUSY_SECONDS = 0.3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for a renderer needs Chromium."""
    for item in items:
        if {"naming", "renderer", "renderers"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)


@dataclass
class Origin:
    """Pages by path: text is HTML. `requests` is what arrived."""

    host: str
    port: int = 0
    routes: dict[str, Route] = field(default_factory=dict)
    requests: list[web.BaseRequest] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}:{self.port}{path}"

    @property
    def base(self) -> str:
        return f"http://{self.host}:{self.port}"

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def headers(self, path: str, name: str) -> list[str | None]:
        return [request.headers.get(name) for request in self.requests if request.path == path]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        route = self.routes.get(request.path)
        if route is None:
            return web.Response(status=404, text="<title>none</title>", content_type="text/html")
        if isinstance(route, str):
            return html(route)
        if isinstance(route, web.Response):
            # A response object can be sent once.
            return web.Response(status=route.status, body=route.body, headers=route.headers)
        return await route(request)


def html(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An HTML page."""
    return web.Response(status=status, text=text, content_type="text/html", headers=headers)


def redirect(to: str, status: int = 302, headers: Mapping[str, str] | None = None) -> web.Response:
    """A redirect by HTTP."""
    return web.Response(status=status, headers={"Location": to, **(headers or {})})


class Hanging:
    """An answer that never comes."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    async def __call__(self, _: web.Request) -> web.Response:
        self.arrived.set()
        await asyncio.Event().wait()
        raise AssertionError


@asynccontextmanager
async def serving(host: str) -> AsyncIterator[Origin]:
    """An origin on a port that the egress rules allow on any host."""
    origin = Origin(host)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", origin.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        origin.port = runner.addresses[0][1]
        yield origin
    finally:
        await runner.cleanup()


@pytest.fixture
async def site() -> AsyncIterator[Origin]:
    """The origin that is crawled."""
    async with serving(PUBLIC) as origin:
        yield origin


@pytest.fixture
async def other() -> AsyncIterator[Origin]:
    """Another public origin."""
    async with serving(PUBLIC_TOO) as origin:
        yield origin


@dataclass(frozen=True)
class Rendering:
    """A renderer with the arguments that most tests do not care about."""

    renderer: Renderer
    settings: Settings

    async def render(
        self,
        url: str,
        options: RenderOptions | None = None,
        *,
        crawl_id: str = "crawl",
        deadline_seconds: float = DEADLINE_SECONDS,
        on_document: OnDocument | None = None,
    ) -> Outcome:
        return await self.renderer.render(
            url,
            crawl_id=crawl_id,
            options=options or RenderOptions(),
            deadline_seconds=deadline_seconds,
            on_document=on_document,
        )

    def processes(self) -> list[psutil.Process]:
        """The processes of the browser that was started last, its main one first."""
        main = max(browsers(), key=psutil.Process.create_time)
        return [main, *main.children(recursive=True)]

    async def busy_page(self) -> psutil.Process:
        """The process of a page that takes all the processor time it gets; call it while no other page works."""
        seen: dict[psutil.Process, float] = {}
        async with asyncio.timeout(15):
            while True:
                for process in self.processes():
                    with suppress(psutil.Error):
                        if "--type=renderer" in command_of(process):
                            used = process.cpu_times().user
                            if used - seen.setdefault(process, used) > _BUSY_SECONDS:
                                return process
                await asyncio.sleep(0.05)

    async def page(
        self, url: str, options: RenderOptions | None = None, *, crawl_id: str = "crawl"
    ) -> Rendered:
        """A page that has to be rendered."""
        outcome = await self.render(url, options, crawl_id=crawl_id)
        assert isinstance(outcome, Rendered), outcome
        return outcome

    async def failure(
        self, url: str, options: RenderOptions | None = None, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> Failure:
        """A page that has to fail."""
        outcome = await self.render(url, options, deadline_seconds=deadline_seconds)
        assert isinstance(outcome, Failure), outcome
        return outcome


def browsers() -> list[psutil.Process]:
    """The main processes of the browsers that this process has started."""
    return [child for child in psutil.Process().children(recursive=True) if _is_browser(child)]


def command_of(process: psutil.Process) -> list[str]:
    """Its command line, empty if it has ended meanwhile."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []


async def until_dead(*processes: psutil.Process) -> None:
    """Wait until they have ended; a zombie has, only its parent does not know yet."""
    async with asyncio.timeout(15):
        while any(runs(process) for process in processes):
            await asyncio.sleep(0.05)


def _is_browser(process: psutil.Process) -> bool:
    command = " ".join(command_of(process))
    return "--crawl-browser=" in command and "--type=" not in command


Renderers = Callable[..., AbstractAsyncContextManager[Rendering]]


def settings_for(**given: object) -> Settings:
    """Both public hosts may be reached; other rules are those of production. Root is let render, for containers."""
    values: dict[str, object] = {
        "egress_allow_cidrs": (PUBLIC, PUBLIC_TOO),
        "allow_unsandboxed": os.geteuid() == 0,
    }
    return Settings.load(**values | given)


@asynccontextmanager
async def rendering(
    *,
    resolver: Answers | None = None,
    is_memory_short: Callable[[], bool] = lambda: False,
    **given: object,
) -> AsyncIterator[Rendering]:
    """A renderer with a browser of its own."""
    settings = settings_for(**given)
    if find_chromium(settings) is None:
        pytest.skip("no Chromium is installed")
    egress = Egress(settings, resolver=resolver)
    try:
        proxy = EgressProxy(egress, settings)
        async with Renderer(proxy, settings, is_memory_short=is_memory_short) as renderer:
            yield Rendering(renderer, settings)
    finally:
        egress.close()


@pytest.fixture(scope="session")
async def shared() -> AsyncIterator[Rendering]:
    """One browser for all tests that do not harm it."""
    async with rendering() as found:
        yield found


@pytest.fixture
async def renderer(shared: Rendering, request: pytest.FixtureRequest) -> AsyncIterator[Rendering]:
    """The shared browser; cookies and storage are the test's own."""
    yield shared
    await shared.renderer.close_crawl("crawl")


@pytest.fixture(scope="module")
async def naming() -> AsyncIterator[tuple[Rendering, Answers]]:
    """A browser, and the names that there are for it: a test adds its own."""
    names = Answers({})
    async with rendering(resolver=names, dns_timeout_seconds=0.3) as found:
        yield found, names


@pytest.fixture
def renderers() -> Renderers:
    """`async with renderers(**settings) as renderer`: a browser of the test's own."""
    return rendering


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path
