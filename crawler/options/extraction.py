"""`jsonOptions`: what to ask a language model about each page (contract D)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from crawler.options.wire import Closed

#: These three are written with underscores on the wire.
_SNAKE = ConfigDict(alias_generator=str)

MAX_MODELS = 3


class CustomModel(Closed):
    """A model to ask instead of the default one."""

    model_config = _SNAKE

    model: Annotated[str, StringConstraints(pattern=r"^[^/\s]+/\S+$", max_length=256)] = Field(
        description="`<provider>/<model name>`"
    )
    authorization: Annotated[str, StringConstraints(pattern=r"^[ -~]+$", max_length=8192)] | None = Field(
        None, repr=False
    )


class ResponseFormat(Closed):
    """The form of the answer. The schema is passed on as it is: an odd one is no reason to refuse a crawl."""

    model_config = _SNAKE

    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    json_schema: dict[str, JsonValue] | None = None


class JsonOptions(Closed):
    """A prompt, a form for the answer, or both."""

    model_config = _SNAKE

    prompt: Annotated[str, StringConstraints(min_length=1)] | None = None
    response_format: ResponseFormat | None = None
    custom_ai: Annotated[tuple[CustomModel, ...], Field(max_length=MAX_MODELS)] = ()

    @model_validator(mode="after")
    def _need_a_question(self) -> Self:
        if self.prompt is None and self.response_format is None:
            raise ValueError("needs prompt, response_format or both")
        return self
