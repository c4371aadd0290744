"""What all parts of a request have in common: strict types, camelCase names, frozen values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from crawler import urls

#: RFC 9110 section 4.1 asks for at least 8,000.
MAX_SUBMITTED_URL_CHARS = 8_192
#: Longest wait that a caller may ask for (contract A.4).
MAX_WAIT_MS = 120_000


class Open(BaseModel):
    """An object whose unknown keys are dropped: they reach neither the database nor a browser."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", alias_generator=to_camel, serialize_by_alias=True
    )


class Closed(Open):
    """An object whose unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


def _whole(value: object) -> object:
    """JSON does not tell 10 from 10.0, so both are whole; 1.5, "10" and true are left to be refused."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _web_url(text: str) -> str:
    match urls.parse(text, max_chars=MAX_SUBMITTED_URL_CHARS):
        case urls.BadUrl(message):
            raise ValueError(message)
        case found:
            return found.href


#: A number without fraction, `10` or `10.0`.
Whole = Annotated[int, BeforeValidator(_whole)]
#: An http(s) URL, serialised without its fragment.
WebUrl = Annotated[str, AfterValidator(_web_url)]
#: Milliseconds. 0 means no limit of its own, as in Puppeteer: the wall clock of the page still ends it.
Wait = Annotated[float, Field(ge=0, le=MAX_WAIT_MS)]


def unrecognized(keys: Sequence[str]) -> str:
    """What to answer to keys that do not exist; the wording of the first sentence is Cloudflare's (contract A.4)."""
    names = ", ".join(json.dumps(key[:100]) for key in keys)
    return f"Unrecognized key{'s' if len(keys) > 1 else ''}: {names}"
