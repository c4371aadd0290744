"""One question to one OpenAI-compatible endpoint (`POST …/chat/completions`), by our own way out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import hdrs

from crawler.ai.prompt import Message
from crawler.ai.providers import Candidate, Provider
from crawler.fetch.connector import EgressConnector, NoConnection
from crawler.fetch.egress import Egress
from crawler.settings import Settings
from crawler.structured.schema import Schema

#: Larger than any answer within the limit of tokens.
MAX_ANSWER_BYTES = 2 << 20
MAX_RETRY_AFTER_SECONDS = 20.0
_RETRY_AFTER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and the tokens that its endpoint counted; None where it did not say."""

    text: str
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why there is none: a `jsonReason`. `detail` is for logs only."""

    reason: str
    detail: str = ""
    #: Seconds after which the same question may be answered; None: it is of no use to ask again.
    retry_after_seconds: float | None = None


class ModelClient:
    """Keeps connections to providers, opened on first use. Close it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._exit = AsyncExitStack()

    async def close(self) -> None:
        """Close all connections."""
        await self._exit.aclose()
        self._sessions.clear()

    async def ask(
        self, candidate: Candidate, messages: Sequence[Message], schema: Schema | None
    ) -> Answer | NoAnswer:
        """Put one question. Never raises for what the endpoint does."""
        body: dict[str, Any] = {
            "model": candidate.model,
            "messages": list(messages),
            "max_tokens": self._settings.ai_max_output_tokens,
            "temperature": 0,
            "stream": False,
        }
        if wanted := _response_format(candidate.provider, schema):
            body["response_format"] = wanted
        body |= candidate.provider.parameters
        body = {name: value for name, value in body.items() if value is not None}
        headers = {hdrs.AUTHORIZATION: candidate.authorization} if candidate.authorization else {}
        url = f"{candidate.provider.base_url}/chat/completions"
        try:
            # A redirect is no answer: it would take the key and the page to an address that nobody has allowed.
            async with self._session(candidate.provider).post(
                url, json=body, headers=headers, allow_redirects=False
            ) as reply:
                return _read(reply.status, reply.headers, await _read_body(reply))
        except (NoConnection, aiohttp.ClientError, TimeoutError, OSError) as error:
            return _failure(error)

    def _session(self, provider: Provider) -> aiohttp.ClientSession:
        session = self._sessions.get(provider.name)
        if session is None:
            # The operator has named this host, so it may be anywhere, today and after it has moved. Its way out is its
            # own: nothing else may go there.
            egress = Egress(self._settings, also_allow_host=provider.host, follows_moves=True)
            session = self._sessions[provider.name] = aiohttp.ClientSession(
                connector=EgressConnector(egress, self._settings),
                headers={hdrs.USER_AGENT: self._settings.user_agent, hdrs.ACCEPT_ENCODING: "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=self._settings.ai_timeout_seconds),
            )
            self._exit.callback(egress.close)
            self._exit.push_async_callback(session.close)
        return session


def _response_format(provider: Provider, schema: Schema | None) -> Mapping[str, Any] | None:
    match provider.response_format:
        case "none":
            return None
        case "json_schema" if schema is not None:
            return {"type": "json_schema", "json_schema": {"name": "page", "schema": schema.document}}
        case _:
            return {"type": "json_object"}


async def _read_body(reply: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while (piece := await reply.content.readany()) and size <= MAX_ANSWER_BYTES:
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _read(status: int, headers: Mapping[str, str], body: bytes) -> Answer | NoAnswer:
    match status:
        case 200:
            return _answer(body)
        case 429 | 503:
            reason = "model_rate_limited" if status == 429 else "model_unavailable"
            return NoAnswer(reason, f"status {status}", _retry_after(headers.get(hdrs.RETRY_AFTER)))
        case 401 | 403:
            return NoAnswer("model_unauthorized", f"status {status}")
        case _:
            return NoAnswer("model_unavailable", f"status {status}: {body[:200]!r}")


def _answer(body: bytes) -> Answer | NoAnswer:
    if len(body) > MAX_ANSWER_BYTES:
        return NoAnswer("model_invalid_answer", f"more than {MAX_ANSWER_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return NoAnswer("model_invalid_answer", f"no JSON: {body[:200]!r}")
    match document:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            usage = document.get("usage")
            usage = usage if isinstance(usage, dict) else {}
            return Answer(text, _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens")))
        case _:
            return NoAnswer("model_invalid_answer", f"no message: {body[:200]!r}")


def _tokens(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3; a date is not read); None when that is too long."""
    if value is None or not value.strip().isdecimal():
        return _RETRY_AFTER_SECONDS
    seconds = float(value)
    return seconds if seconds <= MAX_RETRY_AFTER_SECONDS else None


def _failure(error: Exception) -> NoAnswer:
    """The one place that knows what aiohttp raises."""
    detail = f"{type(error).__name__}: {error}"[:300]
    match error:
        case TimeoutError():
            return NoAnswer("model_timeout", detail)
        case NoConnection(failure=failure) if not failure.retryable:
            return NoAnswer("model_unavailable", detail)
        case _:
            return NoAnswer("model_unavailable", detail, _RETRY_AFTER_SECONDS)
