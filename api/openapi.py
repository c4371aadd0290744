"""The OpenAPI document: what FastAPI cannot know, because bodies and tokens are read by our own code."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from crawler.options import CrawlOptions, StaticOptions

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
            body = {
                "content": {"application/json": {"schema": _body(components["schemas"])}},
                "required": True,
            }
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    # Every refusal is answered with 400, never with FastAPI's own 422.
                    operation["responses"].pop("422", None)
                    if "/accounts/" in path:
                        operation["security"] = requirements
                    if method == "post":
                        operation["requestBody"] = body
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _body(schemas: dict[str, Any]) -> dict[str, Any]:
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
