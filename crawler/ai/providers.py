"""The models that this server may ask: a table the operator owns. A request names an entry of it, never an address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from crawler.errors import ConfigurationError
from crawler.options.extraction import JsonOptions
from crawler.settings import Settings

#: The entry that is asked when a request names no model.
DEFAULT = "default"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class _Entry(BaseModel):
    """One provider as the operator writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")]
    api_key: Annotated[str, Field(pattern=r"^[!-~]*$", repr=False)] = ""
    models: list[str] | None = None
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    input_price: Annotated[float, Field(ge=0)] = 0.0
    output_price: Annotated[float, Field(ge=0)] = 0.0
    parameters: dict[str, JsonValue] = {}


_TABLE = TypeAdapter(dict[Name, _Entry])


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenAI-compatible endpoint."""

    name: str
    #: Without a slash at the end; `/chat/completions` is appended.
    base_url: str
    api_key: str = field(repr=False)
    #: What may be asked with the operator's key; None: anything.
    models: frozenset[str] | None
    #: The strictest form of answer that the endpoint understands.
    response_format: Literal["json_schema", "json_object", "none"]
    #: Per million tokens, in whatever currency the operator reckons.
    input_price: float
    output_price: float
    #: Laid over the body of every question; null takes a member out of it.
    parameters: Mapping[str, JsonValue]

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to ask, and the `Authorization` header to send, "" for none."""

    provider: Provider
    model: str
    authorization: str = field(repr=False)
    #: Whether the operator pays.
    is_ours: bool

    @property
    def name(self) -> str:
        return f"{self.provider.name}/{self.model}"

    def cost(self, input_tokens: int, output_tokens: int) -> int:
        """What so many tokens cost the operator, in millionths of the currency, rounded up."""
        if not self.is_ours:
            return 0
        price = input_tokens * self.provider.input_price + output_tokens * self.provider.output_price
        return int(-(-price // 1))


@dataclass(frozen=True, slots=True)
class Unknown:
    """A request names what the table has not; the message says so, for its sender."""

    message: str


class Providers:
    """The table. `load` it once per process."""

    def __init__(self, table: Mapping[str, Provider], *, default_model: str) -> None:
        self._table = table
        self._default_model = default_model

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Read the settings. Raises ConfigurationError."""
        table = _read_table(settings.ai_providers)
        if settings.ai_base_url:
            if DEFAULT in table:
                message = f"CRAWL_AI_PROVIDERS: {DEFAULT} is already CRAWL_AI_BASE_URL"
                raise ConfigurationError(message)
            try:
                entry = _Entry(
                    base_url=settings.ai_base_url, api_key=settings.ai_api_key, models=[settings.ai_model]
                )
            except ValidationError as error:
                message = f"CRAWL_AI_BASE_URL or CRAWL_AI_API_KEY: {error.errors()[0]['msg']}"
                raise ConfigurationError(message) from error
            table = {**table, DEFAULT: entry}
        if (DEFAULT in table) != bool(settings.ai_model):
            raise ConfigurationError(
                "CRAWL_AI_MODEL: needed with CRAWL_AI_BASE_URL or `default` in CRAWL_AI_PROVIDERS, and only then"
            )
        providers = {name: _provider(name, entry) for name, entry in table.items()}
        return cls(providers, default_model=settings.ai_model)

    @property
    def all(self) -> tuple[Provider, ...]:
        """Every entry of the table."""
        return tuple(self._table.values())

    def candidates(self, options: JsonOptions) -> tuple[Candidate, ...] | Unknown:
        """The models to ask, in order: those that the request names, else the default; none where there is none."""
        if not options.custom_ai:
            default = self._table.get(DEFAULT)
            return () if default is None else (_ours(default, self._default_model),)
        found = []
        for position, custom in enumerate(options.custom_ai):
            name, _, model = custom.model.partition("/")
            provider = self._table.get(name)
            place = f"jsonOptions.custom_ai[{position}].model"
            if provider is None:
                known = ", ".join(sorted(self._table)) or "none"
                return Unknown(f"{place}: this server knows no provider {json.dumps(name)}; it knows {known}")
            if custom.authorization is not None:
                found.append(Candidate(provider, model, _header(custom.authorization), is_ours=False))
            elif provider.models is not None and model not in provider.models:
                return Unknown(f"{place}: this server asks that model only with an authorization of yours")
            else:
                found.append(_ours(provider, model))
        return tuple(found)


def _read_table(text: str) -> dict[str, _Entry]:
    if not text:
        return {}
    try:
        written = Path(text[1:]).read_text() if text.startswith("@") else text
        return _TABLE.validate_json(written)
    except OSError as error:
        message = f"CRAWL_AI_PROVIDERS: {text[1:]}: {error.strerror}"
        raise ConfigurationError(message) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        # Not its input: that may be a key.
        message = f"CRAWL_AI_PROVIDERS: {place or 'the table'}: {first['msg']}"
        raise ConfigurationError(message) from None


def _provider(name: str, entry: _Entry) -> Provider:
    return Provider(
        name=name,
        base_url=entry.base_url.rstrip("/"),
        api_key=entry.api_key,
        models=None if entry.models is None else frozenset(entry.models),
        response_format=entry.response_format,
        input_price=entry.input_price,
        output_price=entry.output_price,
        parameters=entry.parameters,
    )


def _ours(provider: Provider, model: str) -> Candidate:
    return Candidate(provider, model, _header(provider.api_key) if provider.api_key else "", is_ours=True)


def _header(key: str) -> str:
    """`Bearer <token>` as it stands; a bare token gets its scheme."""
    return key if " " in key else f"Bearer {key}"
