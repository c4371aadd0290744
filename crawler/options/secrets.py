"""Which parts of a request are secrets: what gives access to somebody's account, here or elsewhere."""

from __future__ import annotations

import json
from typing import Any

from crawler.options.request import CrawlOptions


def split_secrets(options: CrawlOptions) -> tuple[CrawlOptions, str | None]:
    """The request without its secrets, and these as one JSON text; None when there are none."""
    wire = json.loads(options.to_json())
    secret: dict[str, Any] = {
        name: wire.pop(name) for name in ("cookies", "authenticate", "setExtraHTTPHeaders") if wire.get(name)
    }
    models = wire.get("jsonOptions", {}).get("custom_ai", [])
    keys = [model.pop("authorization", None) for model in models]
    if any(keys):
        secret["authorizations"] = keys
    if not secret:
        return options, None
    return CrawlOptions.from_json(json.dumps(wire)), json.dumps(secret)


def join_secrets(options: CrawlOptions, secret: str) -> CrawlOptions:
    """The whole request again, from what `split_secrets` gave."""
    wire = json.loads(options.to_json())
    found = json.loads(secret)
    keys = found.pop("authorizations", [])
    for model, key in zip(wire.get("jsonOptions", {}).get("custom_ai", []), keys, strict=False):
        if key is not None:
            model["authorization"] = key
    return CrawlOptions.from_json(json.dumps(wire | found))
