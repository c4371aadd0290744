"""The operator's table of models, and what a request may name of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawler.ai.plan import Plan, Refused, make_plan
from crawler.ai.providers import Candidate, Providers, Unknown
from crawler.errors import ConfigurationError
from crawler.options.extraction import JsonOptions
from crawler.settings import Settings

TABLE = {
    "openai": {
        "base_url": "https://api.openai.test/v1/",
        "api_key": "sk-ours",
        "models": ["small"],
        "input_price": 0.5,
    },
    "ollama": {"base_url": "http://10.0.0.7:11434/v1"},
}


def load(**changes: Any) -> Providers:
    return Providers.load(Settings.load(**changes))


def options(**fields: Any) -> JsonOptions:
    return JsonOptions.model_validate_json(json.dumps({"prompt": "what?"} | fields))


def candidates(providers: Providers, *models: dict[str, str]) -> tuple[Candidate, ...]:
    found = providers.candidates(options(custom_ai=list(models)))
    assert not isinstance(found, Unknown), found
    return found


def test_requests_name_entries_and_bring_their_own_keys() -> None:
    providers = load(ai_providers=json.dumps(TABLE))
    own, bare, ours, free = candidates(
        providers, {"model": "openai/large/2", "authorization": "Bearer sk-theirs"}
    ) + candidates(
        providers,
        {"model": "openai/any", "authorization": "sk-bare"},
        {"model": "openai/small"},
        {"model": "ollama/llama3"},
    )  # fmt: skip
    assert (own.model, own.authorization, own.is_ours) == ("large/2", "Bearer sk-theirs", False)
    assert bare.authorization == "Bearer sk-bare"
    assert (ours.authorization, ours.is_ours, ours.provider.base_url) == (
        "Bearer sk-ours", True, "https://api.openai.test/v1",
    )  # fmt: skip
    assert free.authorization == ""
    assert (ours.cost(2_000_001, 7), own.cost(2_000_001, 7)) == (1_000_001, 0)


def test_c49_a_request_cannot_name_an_address_or_a_provider_that_is_not_in_the_table() -> None:
    providers = load(ai_providers=json.dumps(TABLE))
    for model in ("evil/x", "http://127.0.0.3/x", "127.0.0.3/x", "OPENAI/small"):
        found = providers.candidates(options(custom_ai=[{"model": model}]))
        assert isinstance(found, Unknown)
        assert "it knows ollama, openai" in found.message


def test_the_operators_key_is_for_the_listed_models_only() -> None:
    found = load(ai_providers=json.dumps(TABLE)).candidates(options(custom_ai=[{"model": "openai/huge"}]))
    assert isinstance(found, Unknown)
    assert "with an authorization of yours" in found.message


def test_the_default_is_asked_when_a_request_names_none(tmp_path: Path) -> None:
    assert load().candidates(options()) == ()
    (default,) = candidates(load(ai_base_url="http://[::1]:1/v1", ai_api_key="k", ai_model="m"))
    assert (default.name, default.authorization, default.provider.host) == ("default/m", "Bearer k", "::1")
    file = tmp_path / "models.json"
    file.write_text(json.dumps(TABLE | {"default": TABLE["ollama"]}))
    (default,) = candidates(load(ai_providers=f"@{file}", ai_model="llama3"))
    assert default.provider.base_url == "http://10.0.0.7:11434/v1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ai_base_url": "http://127.0.0.1/v1"}, "CRAWL_AI_MODEL"),
        ({"ai_model": "m"}, "CRAWL_AI_MODEL"),
        ({"ai_base_url": "ftp://x/", "ai_model": "m"}, "CRAWL_AI_BASE_URL"),
        ({"ai_base_url": "http://user:pass@x/", "ai_model": "m"}, "CRAWL_AI_BASE_URL"),
        ({"ai_providers": "{"}, "CRAWL_AI_PROVIDERS"),
        ({"ai_providers": "@/nowhere"}, "No such file"),
        ({"ai_providers": '{"a": {"base_url": "http://x", "kye": "sk-secret"}}'}, "a.kye"),
        ({"ai_providers": '{"A b": {"base_url": "http://x"}}'}, "CRAWL_AI_PROVIDERS"),
    ],
)
def test_a_wrong_table_stops_the_process_without_telling_keys(changes: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        load(**changes)
    assert "sk-secret" not in str(caught.value)


def test_keys_are_not_shown() -> None:
    providers = load(ai_providers=json.dumps(TABLE))
    assert "sk-" not in repr(providers.all)
    assert "sk-" not in repr(candidates(providers, {"model": "openai/x", "authorization": "sk-theirs"}))


def test_a_prompt_alone_needs_a_model() -> None:
    refused = make_plan(options(), load())
    assert isinstance(refused, Refused)
    assert "language model" in refused.message
    schema = {"type": "json_schema", "json_schema": {"properties": {"a": "string"}}}
    plan = make_plan(options(response_format=schema), load())
    assert isinstance(plan, Plan)
    assert plan.candidates == ()
    bad = make_plan(
        options(response_format={"type": "json_schema", "json_schema": {"$ref": "http://x/"}}), load()
    )
    assert isinstance(bad, Refused)
    assert "jsonOptions.response_format.json_schema has a $ref" in bad.message
