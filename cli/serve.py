"""`crawl serve`: the API, and without a broker the whole service, in this process."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import click
import uvicorn

from api.app import create_app
from api.exposure import refuse_open_bind
from api.first_token import generated_token
from cli.exits import ExitCode
from cli.signals import stopping_on_signals
from cli.telling import tell
from crawler.fetch.chromium import require_privileges
from crawler.settings import Settings
from crawler.telemetry import configure_logging
from workers.doorbell import open_doorbell


@click.command()
@click.option("--host", help="Address to bind, or CRAWL_HOST.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Or CRAWL_PORT; 0: any free one.  [default: 8787]"
)
def serve(**given: Any) -> ExitCode:
    """Serve the API; without CRAWL_BROKER_URL also crawl, in this process and on SQLite."""
    settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
    refuse_open_bind(settings)
    if settings.embedded:
        require_privileges(settings)
    configure_logging(settings)
    if not settings.api_token:
        token, is_new = generated_token(settings)
        if is_new:
            path = settings.data_dir / "token"
            tell(f"Made an API token, shown this once and kept in {path}: {token}")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family) as listener:
        # asyncio does it only for sockets that name their protocol, and small answers would wait for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # A connection that was closed because its reader takes nothing would wait for that reader once more.
            milliseconds = round(settings.answer_seconds * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        asyncio.run(_serve(settings, listener))
    return ExitCode.DONE


async def _serve(settings: Settings, listener: socket.socket) -> None:
    doorbell = open_doorbell(settings)
    app = create_app(settings, doorbell=doorbell)
    config = uvicorn.Config(
        app,
        # Opened below, where an error ends the process with its sentence instead of a stack trace in the log.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who may be throttled is decided by the real peer, not by a header that it sends.
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
    )
    server = uvicorn.Server(config)
    stop = asyncio.Event()
    # uvicorn takes the signals over while it runs. One that comes before ends in `stop`, and so do those that uvicorn
    # got: it passes them on when it has ended, when without us they would kill the pages in flight.
    with stopping_on_signals(stop):
        async with app.router.lifespan_context(app):
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            tell(f"Listening on http://{shown}:{port}, documentation at /docs.")
            ending = asyncio.create_task(_end(server, stop), name="end-at-signal")
            await server.serve(sockets=[listener])
            ending.cancel()
    if doorbell is not None:
        await doorbell.close()


async def _end(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True
