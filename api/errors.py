"""Every answer that is not a success, in Cloudflare's envelope (contract A.3, A.12)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from crawler.errors import (
    CrawlError,
    Forbidden,
    InvalidRequest,
    NotCancellable,
    NotFound,
    RateLimited,
    StorageFull,
    Unauthorized,
    Unavailable,
)

_STATUS: Mapping[type[CrawlError], HTTPStatus] = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    # Not 409: Cloudflare's SDKs repeat a request that was answered with it.
    NotCancellable: HTTPStatus.BAD_REQUEST,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageFull: HTTPStatus.SERVICE_UNAVAILABLE,
}

#: Cloudflare's numbers where they are known. Elsewhere the number is the HTTP status, see docs/compatibility.md.
_CODES: Mapping[int, int] = {
    HTTPStatus.UNAUTHORIZED: 10000,
    HTTPStatus.FORBIDDEN: 10000,
    HTTPStatus.TOO_MANY_REQUESTS: 2001,
    HTTPStatus.INTERNAL_SERVER_ERROR: 2000,
}

_TEXTS: Mapping[int, str] = {
    HTTPStatus.NOT_FOUND: "There is nothing at this path.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method.",
}


def failure(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error answer."""
    content = {
        "success": False,
        "errors": [{"code": _CODES.get(status, int(status)), "message": message}],
        "messages": [],
        "result": None,
    }
    return JSONResponse(content, status, {"Cache-Control": "no-store", **(headers or {})})


def answer(error: CrawlError) -> Response:
    """The answer to a request that ended in one of our errors."""
    status = _STATUS.get(type(error))
    if status is None:
        return internal_failure()
    headers = {}
    if isinstance(error, RateLimited | Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return failure(status, error.message, headers)


def internal_failure() -> Response:
    """The answer to a bug: it says nothing about it, the log does."""
    return failure(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Error")


def install(app: FastAPI) -> None:
    """Answer every exception of `app` in the envelope."""

    @app.exception_handler(CrawlError)
    async def _ours(_: Request, error: CrawlError) -> Response:
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def _parameters(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        message = str(first["msg"]).removeprefix("Value error, ").removeprefix("Input ")
        return failure(HTTPStatus.BAD_REQUEST, f"{first['loc'][-1]} {message}")

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> Response:
        message = error.detail
        if error.status_code in _TEXTS and message == HTTPStatus(error.status_code).phrase:
            message = _TEXTS[error.status_code]
        headers = error.headers
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers = {"Allow": ", ".join(_methods(request))}
        return failure(error.status_code, message, headers)

    @app.exception_handler(Exception)
    async def _bug(_: Request, __: Exception) -> Response:
        return internal_failure()


def _methods(request: Request) -> list[str]:
    """All that the path takes (RFC 9110 15.5.6). The framework names those of the first route with that path only."""
    scopes = {str(method): {**request.scope, "method": str(method)} for method in HTTPMethod}
    return [
        method
        for method, scope in scopes.items()
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]
