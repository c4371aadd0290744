"""What every request passes before any route sees it, so that no route can forget it."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import answer
from api.exposure import check_host
from api.limits import MemoryLimiter, RateLimiter, network_of
from crawler.errors import CrawlError, RateLimited, Unauthorized
from crawler.settings import Settings
from crawler.store.accounts import LOCAL_ACCOUNT, Accounts, Caller
from crawler.store.accounts import Scope as TokenScope

#: The only paths that need no token.
PUBLIC_PATHS = frozenset({"/health", "/ready", "/docs", "/openapi.json"})
#: Longer ones are neither ours nor worth hashing.
_MAX_TOKEN_CHARS = 512
_OPERATOR = Caller(LOCAL_ACCOUNT, TokenScope.ADMIN)


class Guard:
    """Decides who may go on. `operator_token` opens every account and is in no database."""

    def __init__(
        self, settings: Settings, operator_token: str, accounts: Accounts, limiter: RateLimiter
    ) -> None:
        self._settings = settings
        self._operator_token = operator_token
        self._accounts = accounts
        self._limiter = limiter
        per_minute = settings.failed_logins_per_minute
        self._failures = MemoryLimiter(per_minute / 60, burst=per_minute)

    async def admit(self, headers: Headers, address: str) -> Caller:
        """Who is asking. Raises Unauthorized and RateLimited.

        A valid token always passes, however often others failed from the same address.
        """
        if "x-auth-key" in headers:
            caller = self._check_key(headers.get("x-auth-email", ""), headers["x-auth-key"])
        else:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            token = token.strip()
            if scheme.lower() != "bearer" or not 0 < len(token) <= _MAX_TOKEN_CHARS:
                # Nobody can guess a token this way, so it does not count as a failure.
                raise Unauthorized
            if hmac.compare_digest(token.encode(), self._operator_token.encode()):
                caller = _OPERATOR
            else:
                caller = await self._accounts.find_caller(token)
        if caller is None:
            await self._count(self._failures, network_of(address))
            raise Unauthorized
        await self._count(self._limiter, caller.account_id)
        return caller

    async def _count(self, limiter: RateLimiter, key: str) -> None:
        wait_seconds = await limiter.take(key)
        if wait_seconds:
            raise RateLimited(wait_seconds)

    def _check_key(self, email: str, key: str) -> Caller | None:
        settings = self._settings
        if not (settings.api_key and settings.api_key_email):
            return None
        same_key = hmac.compare_digest(key.encode(), settings.api_key.encode())
        same_email = hmac.compare_digest(email.lower().encode(), settings.api_key_email.lower().encode())
        return _OPERATOR if same_key and same_email else None


class Gate:
    """ASGI middleware in front of all routing. Leaves the caller in `request.state.caller`."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                check_host(headers.get("host", ""), self._settings)
                if scope["path"] not in PUBLIC_PATHS:
                    guard: Guard = scope["app"].state.services.guard
                    client = scope.get("client") or ("", 0)
                    scope.setdefault("state", {})["caller"] = await guard.admit(headers, client[0])
            except CrawlError as error:
                await answer(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
