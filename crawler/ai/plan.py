"""What `jsonOptions` ask for, by the operator's table and the rules for schemas: judged at POST and for every page."""

from __future__ import annotations

from dataclasses import dataclass

from crawler.ai.providers import Candidate, Providers, Unknown
from crawler.options.extraction import JsonOptions
from crawler.structured.schema import BadSchema, Schema, read_schema


@dataclass(frozen=True, slots=True)
class Plan:
    """How the JSON of a page is made. Without candidates it comes from structured data, and then there is a schema."""

    candidates: tuple[Candidate, ...]
    prompt: str | None
    schema: Schema | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Why it cannot be made; the message is for the sender of the request."""

    message: str


def make_plan(options: JsonOptions, providers: Providers) -> Plan | Refused:
    """Read the options of a crawl with the format json."""
    candidates = providers.candidates(options)
    if isinstance(candidates, Unknown):
        return Refused(candidates.message)
    written = None if options.response_format is None else options.response_format.json_schema
    schema = None if written is None else read_schema(written)
    if isinstance(schema, BadSchema):
        return Refused(f"jsonOptions.response_format.json_schema {schema.message}")
    if not candidates and (schema is None or not schema.document.get("properties")):
        return Refused(
            "formats contains json, which without properties in jsonOptions.response_format.json_schema needs a "
            "language model, and this server has none."
        )
    return Plan(candidates, options.prompt, schema)
