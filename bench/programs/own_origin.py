"""Serve a folder: `python -m bench.programs.own_origin FOLDER ADDRESS,… PORT [LOG]`. For machines without nginx."""

from __future__ import annotations

import asyncio
import mimetypes
import sys
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from aiohttp import web

#: About what status line and headers take.
_HEAD_BYTES = 200


def make_handler(root: Path, log: IO[str] | None) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """Answer from memory: the server must not be what is measured."""
    files = {
        f"/{path.relative_to(root)}": (path.read_bytes(), mimetypes.guess_type(path.name)[0] or "text/plain")
        for path in root.rglob("*")
        if path.is_file()
    }
    etags = {path: f'"{zlib.crc32(body):08x}"' for path, (body, _) in files.items()}

    async def answer(request: web.BaseRequest) -> web.Response:
        made = respond(request)
        if log is not None:
            size = _HEAD_BYTES + (made.content_length or 0)
            log.write(f"{time.time():.3f} {size} {request.host.rsplit(':', 1)[0]} {request.path}\n")
        return made

    def respond(request: web.BaseRequest) -> web.Response:
        body, content_type = files.get(request.path, (b"", ""))
        if not content_type:
            return web.Response(status=404)
        headers = {"ETag": etags[request.path]}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type=content_type, headers=headers)

    return answer


async def run(root: Path, addresses: list[str], port: int, log: IO[str] | None) -> None:
    """Serve until SIGTERM."""
    runner = web.ServerRunner(web.Server(make_handler(root, log)), handle_signals=True)
    await runner.setup()
    for address in addresses:
        await web.TCPSite(runner, address, port).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve what the arguments say."""
    folder, addresses, port, *log = sys.argv[1:]
    with ExitStack() as stack:
        stack.enter_context(suppress(web.GracefulExit))
        file = stack.enter_context(Path(log[0]).open("w", buffering=1)) if log else None
        asyncio.run(run(Path(folder), addresses.split(","), int(port), file))


if __name__ == "__main__":
    main()
