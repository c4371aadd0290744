"""The HTTP server: what it is made of, and what lives as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from api import crawls, errors, health, metrics, runs, schedules
from api.deps import Services
from api.first_token import generated_token
from api.gate import Gate, Guard
from api.limits import open_limiter
from api.openapi import describe
from api.sending import Outbox
from crawler.doorbell import Doorbell
from crawler.errors import ConfigurationError
from crawler.runtime import Runtime
from crawler.settings import Settings
from crawler.store import migrate
from crawler.store.accounts import Accounts

#: Every route answers under each of these: base URLs come with and without `/client/v4`, and the product has two
#: names (contract A.1). The first one is in the OpenAPI document.
PREFIXES = tuple(
    f"{base}/accounts/{{account_id}}/{product}"
    for base in ("/client/v4", "")
    for product in ("browser-rendering", "browser-run")
)


def create_app(settings: Settings, *, doorbell: Doorbell | None = None) -> FastAPI:
    """The ASGI application.

    Its lifespan opens everything, and where no broker is configured also does the crawling. `doorbell` rings the
    workers; it is needed where a broker is configured.
    """
    app = FastAPI(
        title="crawl",
        version="0.1.0",
        summary="A self-hosted /crawl that speaks Cloudflare's Browser Rendering wire format",
        lifespan=_lifespan(settings, doorbell),
        # A redirect to another spelling of a path is no JSON envelope, and SDKs do not repeat a POST after it.
        redirect_slashes=False,
        redoc_url=None,
        middleware=[Middleware(Gate, settings=settings)],
    )
    errors.install(app)
    app.include_router(health.router)
    app.include_router(metrics.router)
    for prefix in PREFIXES:
        for router in (crawls.router, runs.router, schedules.router):
            app.include_router(router, prefix=prefix, include_in_schema=prefix == PREFIXES[0])
    describe(app, takes_key=bool(settings.api_key))
    return app


def _lifespan(
    settings: Settings, doorbell: Doorbell | None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Runtime(settings, doorbell=doorbell) as runtime, open_limiter(settings) as limiter:
            await _check_schema(runtime)
            token = settings.api_token or generated_token(settings)[0]
            guard = Guard(settings, token, Accounts(runtime.database), limiter)
            async with _working(runtime, settings) as work:
                app.state.services = Services(settings, runtime, guard, Outbox(settings), work)
                yield

    return lifespan


async def _check_schema(runtime: Runtime) -> None:
    version = await migrate.current(runtime.database)
    if version != migrate.head():
        message = (
            f"The database has schema {version or 'none'}, this is {migrate.head()}: run `crawl migrate`."
        )
        raise ConfigurationError(message)


@asynccontextmanager
async def _working(runtime: Runtime, settings: Settings) -> AsyncIterator[asyncio.Task[None] | None]:
    """Embedded: crawl while the block runs, and let pages in flight finish at its end."""
    if not settings.embedded:
        yield None
        return
    stop = asyncio.Event()
    work = asyncio.create_task(runtime.work(stop), name="work")
    try:
        yield work
    finally:
        stop.set()
        await work
