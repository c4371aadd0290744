"""An origin whose pages have validators, answer conditional requests, and can be changed between two crawls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Page:
    """One page. Every header that is given is sent; ETag and Last-Modified are compared byte for byte."""

    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    #: Answer conditional requests by these headers instead, whatever the page is by now.
    claims: Mapping[str, str] | None = None


@dataclass
class ValidatingOrigin:
    """A running origin; `asked` has path and headers of every request but those for robots.txt and sitemaps."""

    port: int = 0
    host: str = "127.0.0.1"
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        page = self.pages.get(path)
        if path not in {"/robots.txt", "/sitemap.xml", "/favicon.ico"}:
            self.asked.append((path, dict(request.headers)))
        if page is None:
            return web.Response(status=404, text="none")
        headers = page.claims or page.headers
        etag, modified = request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since")
        is_same = (
            etag == headers.get("ETag") if etag else modified and modified == headers.get("Last-Modified")
        )
        if is_same:
            return web.Response(status=304, headers=page.headers)
        cookie = request.headers.get("Cookie")
        text = page.body.replace("COOKIE", cookie or "nobody")
        kind = "application/xml" if path.endswith(".xml") else "text/html"
        return web.Response(status=page.status, text=text, headers=page.headers, content_type=kind)


@asynccontextmanager
async def serve_pages(host: str = "127.0.0.1", /, **pages: Page | str) -> AsyncIterator[ValidatingOrigin]:
    """Serve on a free port of `host`: `index` is `/`, every other name its own path."""
    origin = ValidatingOrigin(host=host)
    for name, page in pages.items():
        path = "/" if name == "index" else f"/{name}"
        origin.pages[path] = Page(page) if isinstance(page, str) else page
    application = web.Application()
    application.router.add_get("/{path:.*}", origin.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    origin.port = runner.addresses[0][1]
    try:
        yield origin
    finally:
        await runner.cleanup()
