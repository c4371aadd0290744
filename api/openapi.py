"""The OpenAPI document: what FastAPI cannot know, because bodies and tokens are read by our own code."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from crawler.options import CrawlOptions, StaticOptions
from crawler.options.continuation import Continuation
from crawler.schedules import ScheduleRule

#: The prefix of routes under which the document lists them.
PREFIX = "/client/v4/accounts/{account_id}/browser-rendering"

_TOKEN = {"type": "http", "scheme": "bearer", "description": "made by `crawl token create`"}
_EMAIL = {"type": "apiKey", "in": "header", "name": "X-Auth-Email"}
_KEY = {"type": "apiKey", "in": "header", "name": "X-Auth-Key"}


def describe(app: FastAPI, *, takes_key: bool) -> None:
    """Complete the document that `app` serves. `takes_key`: key and e-mail are accepted instead of a token."""
    generate = app.openapi
    schemes: dict[str, object] = {"token": _TOKEN}
    requirements: list[dict[str, list[str]]] = [{"token": []}]
    if takes_key:
        schemes |= {"email": _EMAIL, "key": _KEY}
        requirements.append({"email": [], "key": []})

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            components = document.setdefault("components", {})
            components["securitySchemes"] = schemes
            bodies = _bodies(components["schemas"])
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    # Every refusal is answered with 400, never with FastAPI's own 422.
                    operation["responses"].pop("422", None)
                    if "/accounts/" in path:
                        operation["security"] = requirements
                    resource = path.removeprefix(f"{PREFIX}/")
                    if (schema := bodies.get((method, resource))) is not None:
                        content = {"application/json": {"schema": schema}}
                        operation["requestBody"] = {"content": content, "required": True}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _bodies(schemas: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The schemas of request bodies by method and resource; their parts go to `schemas`."""
    crawl = _crawl(schemas)
    rule = ScheduleRule.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(rule.pop("$defs", {}))
    rule["properties"]["crawl"] = crawl | {"description": "the body of POST /crawl"}
    schemas["ScheduleChange"] = rule
    schemas["NewSchedule"] = rule | {"required": ["crawl"]}
    return {
        ("post", "crawl"): crawl,
        ("post", "crawl/{crawl_id}/continue"): Continuation.model_json_schema(),
        ("post", "schedules"): {"$ref": "#/components/schemas/NewSchedule"},
        ("patch", "schedules/{schedule_id}"): {"$ref": "#/components/schemas/ScheduleChange"},
    }


def _crawl(schemas: dict[str, Any]) -> dict[str, Any]:
    """The two closed forms of a request (contract A.4); their parts go to `schemas`."""
    rendered = CrawlOptions.model_json_schema(ref_template="#/components/schemas/{model}")
    static = StaticOptions.model_json_schema(ref_template="#/components/schemas/{model}")
    for variant in (rendered, static):
        schemas.update(variant.pop("$defs", {}))
    rendered["properties"]["render"] = {"const": True, "default": True}
    static["properties"]["render"] = {"const": False}
    static["required"] = [*static["required"], "render"]
    schemas["RenderedCrawl"] = rendered
    schemas["StaticCrawl"] = static
    names = ("RenderedCrawl", "StaticCrawl")
    return {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
