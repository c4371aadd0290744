"""The body of a request, read once and bounded in size and time."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from crawler.settings import Settings

_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
#: A body that is too large is read and dropped up to so many times the limit: a client that is still sending when
#: the connection closes never sees the answer.
_DRAIN_FACTOR = 4


async def read_body(request: Request, settings: Settings) -> bytes:
    """The JSON text of a request.

    Raises HTTPException: 415 for other types and encodings (a browser may send those across origins without asking,
    and a compressed body has no known size), 413 when it is too large, 408 when it is too slow.
    """
    _check_type(request)
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            return await _read(request, settings.max_body_bytes)
    except TimeoutError as error:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, "Request timed out") from error
    except ClientDisconnect as error:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The body ended early.") from error


def _check_type(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in {"", "identity"}:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body without Content-Encoding.")
    content_type = request.headers.get("content-type", "")
    if content_type and not _JSON.fullmatch(content_type.strip()):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json.")


async def _read(request: Request, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total <= max_bytes:
            chunks.append(chunk)
        elif total > max_bytes * _DRAIN_FACTOR:
            break
    if total > max_bytes:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Error: request entity too large")
    return b"".join(chunks)
