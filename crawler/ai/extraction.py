"""The JSON of one page (contract D): from a model, or without one from what the page says about itself.

Whatever goes wrong, the page is not failed by it: `json` is absent then and `jsonReason` says why.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from crawler.ai.client import Answer, ModelClient, NoAnswer
from crawler.ai.plan import Plan, Refused, make_plan
from crawler.ai.prompt import Message, PageText, question, repair
from crawler.ai.providers import Candidate, Providers
from crawler.errors import InvalidRequest
from crawler.options.extraction import JsonOptions
from crawler.options.json_text import parse_json
from crawler.settings import Settings
from crawler.store.spend import Amount, Spend
from crawler.structured.data import StructuredData
from crawler.structured.mapping import fill_schema
from crawler.structured.schema import Fault, Schema

log = logging.getLogger(__name__)

#: A token is hardly ever less than three bytes of UTF-8, so this reckons too high rather than too low.
_BYTES_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class Extraction:
    """JSON text of an object, None where there is none, and what to say about it in the record."""

    json: str | None
    details: Mapping[str, JsonValue]


class JsonExtractor:
    """One per process."""

    def __init__(self, settings: Settings, providers: Providers, client: ModelClient, spend: Spend) -> None:
        self._settings = settings
        self._providers = providers
        self._client = client
        self._spend = spend
        self._free = asyncio.Semaphore(settings.ai_concurrency)

    async def extract(
        self, crawl_id: str, options: JsonOptions, page: PageText, data: StructuredData
    ) -> Extraction:
        """The JSON of one page: by its text where there is a model to ask, else by its structured data."""
        plan = make_plan(options, self._providers)
        if isinstance(plan, Refused):
            # Accepted by another process, with other settings.
            log.warning("crawl %s: %s", crawl_id, plan.message)
            return Extraction(None, {"jsonReason": "not_possible"})
        if plan.candidates:
            async with self._free:
                return await _Inquiry(self._settings, self._client, self._spend, crawl_id, plan).run(page)
        assert plan.schema is not None
        return await asyncio.to_thread(_from_data, plan.schema, data)


def _from_data(schema: Schema, data: StructuredData) -> Extraction:
    filled = fill_schema(schema, data)
    if not isinstance(filled, dict):
        return Extraction(None, {"jsonSource": "structured-data", "jsonReason": "incomplete_data"})
    if not filled:
        return Extraction(None, {"jsonSource": "structured-data", "jsonReason": "no_data"})
    return Extraction(_dump(filled), {"jsonSource": "structured-data"})


@dataclass(slots=True)
class _Inquiry:
    """The questions about one page: the models in their order, and one chance to mend an answer that is wrong."""

    settings: Settings
    client: ModelClient
    spend: Spend
    crawl_id: str
    plan: Plan
    input_tokens: int = 0
    output_tokens: int = 0
    asked: list[str] = field(default_factory=list)

    async def run(self, page: PageText) -> Extraction:
        messages, is_cut = question(
            page,
            prompt=self.plan.prompt,
            schema=self.plan.schema,
            max_chars=self.settings.ai_max_input_chars,
            mark=secrets.token_hex(8),
        )
        result: str | NoAnswer = NoAnswer("no_model")
        for candidate in self.plan.candidates:
            is_last = candidate is self.plan.candidates[-1]
            result = await self._ask_until_valid(candidate, messages, may_wait=is_last)
            if isinstance(result, str) or result.reason in _BUDGETS:
                break
            log.info("crawl %s: %s: %s %s", self.crawl_id, candidate.name, result.reason, result.detail)
        details: dict[str, JsonValue] = {"jsonSource": "model"}
        if self.asked:
            details["jsonModel"] = self.asked[-1]
            details["jsonTokens"] = {"input": self.input_tokens, "output": self.output_tokens}
        if is_cut:
            details["jsonInputCut"] = True
        if isinstance(result, NoAnswer):
            return Extraction(None, {**details, "jsonReason": result.reason})
        return Extraction(result, details)

    async def _ask_until_valid(
        self, candidate: Candidate, messages: list[Message], *, may_wait: bool
    ) -> str | NoAnswer:
        """JSON text that fits the schema. A wrong answer is sent back once with what is wrong with it."""
        answer = await self._ask(candidate, messages)
        if isinstance(answer, NoAnswer):
            if answer.retry_after_seconds is None or not may_wait:
                return answer
            await asyncio.sleep(answer.retry_after_seconds)
            answer = await self._ask(candidate, messages)
            if isinstance(answer, NoAnswer):
                return answer
        checked = await asyncio.to_thread(_check, answer.text, self.plan.schema)
        if isinstance(checked, str):
            return checked
        answer = await self._ask(candidate, repair(messages, answer.text, checked))
        if isinstance(answer, NoAnswer):
            return answer
        checked = await asyncio.to_thread(_check, answer.text, self.plan.schema)
        return checked if isinstance(checked, str) else NoAnswer("schema_mismatch", checked[0].message)

    async def _ask(self, candidate: Candidate, messages: Sequence[Message]) -> Answer | NoAnswer:
        """One question within the budgets of the page and of the crawl."""
        reckoned = sum(len(message["content"].encode()) for message in messages) // _BYTES_PER_TOKEN
        most_output = self.settings.ai_max_output_tokens
        if self.input_tokens + self.output_tokens + reckoned + most_output > self.settings.ai_max_page_tokens:
            return NoAnswer("page_budget")
        most = Amount(reckoned + most_output, candidate.cost(reckoned, most_output))
        if not await self.spend.reserve(self.crawl_id, most):
            return NoAnswer("crawl_budget")
        self.asked.append(candidate.name)
        answer = await self.client.ask(candidate, messages, self.plan.schema)
        if isinstance(answer, NoAnswer):
            # What a failed question has cost is not known: after a time-out the model may have worked all the same.
            spent = most if answer.reason == "model_timeout" else Amount(0, 0)
        else:
            used = reckoned if answer.input_tokens is None else answer.input_tokens
            given = len(answer.text.encode()) if answer.output_tokens is None else answer.output_tokens
            self.input_tokens += used
            self.output_tokens += given
            spent = Amount(used + given, candidate.cost(used, given))
        await self.spend.settle(self.crawl_id, most, spent)
        return answer


#: Reasons that hold for every other model too.
_BUDGETS = frozenset({"page_budget", "crawl_budget"})


def _check(text: str, schema: Schema | None) -> str | Sequence[Fault]:
    """The object in an answer as JSON text, or what is wrong with it."""
    try:
        value = parse_json(_without_fence(text).encode())
    except (InvalidRequest, UnicodeEncodeError) as error:
        return (Fault((), f"is not valid JSON: {error}"),)
    if not isinstance(value, dict):
        return (Fault((), "is not an object"),)
    faults = schema.faults(value) if schema is not None else ()
    return faults or _dump(value)


def _without_fence(text: str) -> str:
    """Many models cannot help putting JSON into a Markdown code block."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text[text.index("\n") : -3]
    return text


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
