"""What routes ask for: the running server's parts, the account in the path, query parameters."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import BeforeValidator

from api.gate import Guard
from api.sending import Outbox
from crawler.errors import Forbidden, InvalidRequest, NotFound
from crawler.model import is_account_id
from crawler.runtime import Runtime
from crawler.settings import Settings
from crawler.store.accounts import Caller, Scope

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
_WHOLE_NUMBER = re.compile(r"(\d+)(?:\.0*)?", re.ASCII)
#: A number of more digits is past every bound, and so is what is left of it; int() refuses thousands of them.
_MAX_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Services:
    """All that the routes use; lives as long as the server."""

    settings: Settings
    runtime: Runtime
    guard: Guard
    outbox: Outbox
    #: The crawling that this process does itself; None where workers do it.
    work: asyncio.Task[None] | None

    async def readiness(self) -> Mapping[str, str]:
        """Each part: "ok", or what is wrong with it."""
        parts = dict(await self.runtime.ready())
        if self.work is not None:
            parts["work"] = "ended by an error; restart the server" if self.work.done() else "ok"
        return parts


async def services(request: Request) -> Services:
    """The parts of the server that got this request. A coroutine, like all that routes ask for: FastAPI would run
    a plain function in a thread."""
    found: Services = request.app.state.services
    return found


def _account_for(needed: Scope) -> Callable[..., Awaitable[str]]:
    """A dependency: the account in the path, when the caller may do `needed` there.

    Raises NotFound for an account that is not the caller's, as if there were none; Forbidden for a missing scope.
    """

    async def check(
        request: Request, account_id: Annotated[str, Path(min_length=1, description="account")]
    ) -> str:
        caller: Caller = request.state.caller
        is_own = account_id == caller.account_id or caller.scope is Scope.ADMIN
        if not is_own or not is_account_id(account_id):
            raise NotFound("Account not found")
        if not caller.scope.includes(needed):
            raise Forbidden
        return account_id

    return check


async def refuse_repeats(request: Request) -> None:
    """Raise InvalidRequest for a query parameter that is given twice: which one counts is anybody's guess."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            message = f"{name[:64]} is given more than once"
            raise InvalidRequest(message)


def _check_key(
    idempotency_key: Annotated[
        str | None, Header(description="a repeat with the same key gets the same crawl")
    ] = None,
) -> str | None:
    if idempotency_key is not None and not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise InvalidRequest("Idempotency-Key must be 1 to 255 visible ASCII characters")
    return idempotency_key


def _whole_number(value: object) -> object:
    """`10` and, because clients that were written for a JSON number send it, `10.0`."""
    match = _WHOLE_NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None and isinstance(value, str):
        raise ValueError("should be a whole number of at least 0")
    return int(match[1].lstrip("0")[:_MAX_DIGITS] or "0") if match else value


ServicesNow = Annotated[Services, Depends(services)]
ReadableAccount = Annotated[str, Depends(_account_for(Scope.READ))]
WritableAccount = Annotated[str, Depends(_account_for(Scope.WRITE))]
IdempotencyKey = Annotated[str | None, Depends(_check_key)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
CacheTtl = Annotated[
    float,
    Query(alias="cacheTTL", ge=0, le=86_400, description="accepted and ignored: crawls are never stale"),
]
