"""Requests that wait for a word of ours: documents, and what the caller of a crawl has rules for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from crawler.fetch.request_rules import EXACT_TYPES, RequestRules
from crawler.fetch.traffic import Traffic
from crawler.model import Failure

#: Asked before each request for a document of the main frame.
Admit = Callable[[str], Awaitable[bool]]
Send = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | Failure]]

#: Two domains report a request at about the same time; a worker's request only one of them.
_TYPE_SECONDS = 1.0


class Interception:
    """Decides on the paused requests of one tab (domain Fetch of the DevTools protocol)."""

    def __init__(self, send: Send, rules: RequestRules, traffic: Traffic) -> None:
        #: None between visits: then no document is admitted.
        self.admit: Admit | None = None
        self._send = send
        self._rules = rules
        self._traffic = traffic
        self._challenged: set[str] = set()
        self._decisions: set[asyncio.Task[None]] = set()

    def on_paused(self, event: dict[str, Any]) -> None:
        """Answer Fetch.requestPaused, in a task of its own."""
        self._start(self._decide(event))

    def on_challenge(self, event: dict[str, Any]) -> None:
        """Answer Fetch.authRequired, in a task of its own."""
        self._start(self._authenticate(event))

    def cancel(self) -> None:
        """Answer no more."""
        for task in self._decisions:
            task.cancel()

    def _start(self, decision: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(decision)
        self._decisions.add(task)
        task.add_done_callback(self._decisions.discard)

    async def _decide(self, event: dict[str, Any]) -> None:
        request = event["request"]
        reply: dict[str, Any] = {"requestId": event["requestId"]}
        if not await self._is_allowed(event, request["url"]):
            # "Aborted" leaves the document that is there in place; any other reason shows an error page.
            await self._send("Fetch.failRequest", {**reply, "errorReason": "Aborted"})
            return
        headers = self._rules.headers_for(request["url"], request["headers"])
        await self._send("Fetch.continueRequest", reply if headers is None else {**reply, "headers": headers})

    async def _is_allowed(self, event: dict[str, Any], url: str) -> bool:
        if event["resourceType"] == "Document" and event["frameId"] == self._traffic.frame_id:
            return self.admit is not None and await self.admit(url)
        return not self._rules.refuse(await self._resource_type(event), url)

    async def _resource_type(self, event: dict[str, Any]) -> str:
        """The type as the Network domain names it: finer than that of the Fetch domain, and perhaps yet to come."""
        coarse: str = event["resourceType"]
        if coarse == "Fetch":
            # The Fetch domain calls prefetches so; what a page fetches is XHR to it.
            return "Prefetch"
        request_id = event.get("networkId")
        if not self._rules.rejected_types or coarse in EXACT_TYPES or request_id is None:
            return coarse
        with suppress(TimeoutError):
            async with asyncio.timeout(_TYPE_SECONDS):
                await self._traffic.until(lambda: request_id in self._traffic.types)
        return self._traffic.types.get(request_id, coarse)

    async def _authenticate(self, event: dict[str, Any]) -> None:
        credentials = self._rules.credentials_for(event["authChallenge"])
        answer = {"response": "CancelAuth"}
        if credentials is not None and event["requestId"] not in self._challenged:
            # Once per request: a second challenge means that they were wrong.
            self._challenged.add(event["requestId"])
            answer = {
                "response": "ProvideCredentials",
                "username": credentials.username,
                "password": credentials.password,
            }
        reply = {"requestId": event["requestId"], "authChallengeResponse": answer}
        await self._send("Fetch.continueWithAuth", reply)
