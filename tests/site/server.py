"""The sample site: a small handbook on two host names, served on loopback with a log of every request.

The pages below `pages/` name their hosts without a port, as a real site does; the port that the server got is put
in when a file is sent. `expected.py` says what a crawler must find.
"""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

PAGES = Path(__file__).parent / "pages"
HOSTS = ("site.test", "docs.site.test")

#: What a file is sent as.
CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".xml": "application/xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}
#: Pages in other encodings: one is named by its header, the other only by its own <meta>.
LEGACY_CONTENT_TYPES: Mapping[str, str] = {
    "/people/jose.html": "text/html; charset=windows-1252",
    "/people/tanaka.html": "text/html",
}
REDIRECTS: Mapping[str, tuple[int, str]] = {
    "/old-routes": (301, "/routes/"),
    "/hop/1": (302, "/hop/2"),
    "/hop/2": (307, "/about.html"),
}
#: The same for every file, so that a checkout's times do not matter.
LAST_MODIFIED = datetime(2026, 11, 1, 8, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the origin saw it. `monotonic` is in seconds on this machine."""

    monotonic: float
    method: str
    host: str
    path: str
    user_agent: str
    headers: Mapping[str, str]
    status: int


class Site:
    """The running site. `async with Site() as site:` serves it on a free port of `address`."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.address = address
        self.port = port
        self.requests: list[Request] = []
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where a crawl starts."""
        return self.live("http://site.test/")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names for `Settings.egress_hosts`, `name=address`."""
        return tuple(f"{host}={self.address}" for host in HOSTS)

    @property
    def environment(self) -> dict[str, str]:
        """What a crawler needs to reach the site: its names, its address, and no politeness towards ourselves."""
        return {
            "CRAWL_EGRESS_HOSTS": ",".join(self.hosts),
            "CRAWL_EGRESS_ALLOW_CIDRS": f"{self.address}/32",
            "CRAWL_DEFAULT_DELAY": "0",
        }

    def live(self, url: str) -> str:
        """A URL of the pages, which names no port, as a client must ask for it."""
        for host in HOSTS:
            url = url.replace(f"http://{host}/", f"http://{host}:{self.port}/")
        return url

    def plain(self, url: str) -> str:
        """The opposite of `live`: a URL without the port, as `expected.py` writes it."""
        return url.replace(f":{self.port}/", "/", 1)

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[self._record])
        application.router.add_get("/calendar/{year:[0-9]{4}}/{month:[0-9]{1,2}}", self._calendar)
        application.router.add_get("/broken.html", _broken)
        application.router.add_get("/{path:.*}", self._file)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, self.port).start()
        _, self.port = self._runner.addresses[0][:2]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @web.middleware
    async def _record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        arrived = time.monotonic()
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            response = answer
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(
            Request(
                monotonic=arrived,
                method=request.method,
                host=_host(request),
                path=request.path_qs,
                user_agent=headers.get("user-agent", ""),
                headers=headers,
                status=response.status,
            )
        )
        if isinstance(response, web.HTTPException):
            raise response
        return response

    async def _file(self, request: web.Request) -> web.Response:
        host, path = _host(request), request.path
        if host not in HOSTS:
            return web.Response(status=421, text="No such host here.\n")
        if host == "site.test" and path in REDIRECTS:
            status, target = REDIRECTS[path]
            return web.Response(status=status, headers={"Location": target})
        packed = path.endswith(".xml.gz")
        file = _page(host, path.removesuffix(".gz") if packed else path)
        if file is None:
            return web.Response(status=404, text=LOST, content_type="text/html", charset="utf-8")
        body = file.read_bytes()
        for name in HOSTS:
            body = body.replace(f"http://{name}/".encode(), self.live(f"http://{name}/").encode())
        content_type = LEGACY_CONTENT_TYPES.get(path, CONTENT_TYPES[file.suffix])
        if packed:
            body, content_type = gzip.compress(body, mtime=0), "application/gzip"
        return _validated(request, body, content_type)

    async def _calendar(self, request: web.Request) -> web.Response:
        year, month = int(request.match_info["year"]), int(request.match_info["month"])
        if _host(request) != "site.test" or not 1 <= month <= 12:
            return web.Response(status=404, text=LOST, content_type="text/html", charset="utf-8")
        next_year, next_month = divmod(year * 12 + month, 12)
        text = CALENDAR.format(year=year, month=month, next=f"/calendar/{next_year:04}/{next_month + 1}")
        return web.Response(text=text, content_type="text/html", charset="utf-8")


def _host(request: web.Request) -> str:
    return request.host.rpartition(":")[0] or request.host


def _page(host: str, path: str) -> Path | None:
    """The file behind a path; a path that leads out of the folder has none."""
    root = PAGES / host
    file = (root / path.lstrip("/")).resolve()
    if path.endswith("/"):
        file = file / "index.html"
    return file if file.is_relative_to(root) and file.is_file() and file.suffix in CONTENT_TYPES else None


def _validated(request: web.Request, body: bytes, content_type: str) -> web.Response:
    """200 with validators, or 304 to a client that has this very body (RFC 9110, 13.2.2)."""
    etag = hashlib.sha256(body).hexdigest()[:16]
    known = request.if_none_match
    if known is not None:
        unchanged = any(tag.value in ("*", etag) for tag in known)
    else:
        since = request.if_modified_since
        unchanged = since is not None and since >= LAST_MODIFIED
    response = web.Response(status=304) if unchanged else web.Response(body=body)
    if not unchanged:
        response.headers["Content-Type"] = content_type
    response.etag = etag
    response.last_modified = LAST_MODIFIED
    return response


async def _broken(request: web.Request) -> web.Response:
    return web.Response(
        status=500,
        text="<title>Out of order</title><h1>The engine is out of order</h1>",
        content_type="text/html",
    )


LOST = "<!DOCTYPE html><title>Lost</title><h1>Lost</h1><p>This page was taken by the flood of 2019.</p>"

#: A month that always links to the next one: a crawler without limits never ends here.
CALENDAR = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Events in {year}-{month:02}</title></head>
<body>
<h1>Events in {year}-{month:02}</h1>
<p>Nothing is planned for this month yet. The saloon of the Curlew can be booked at the office.</p>
<p><a href="{next}">Next month</a></p>
</body>
</html>
"""
