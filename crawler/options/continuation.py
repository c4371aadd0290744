"""The body of POST `/crawl/{id}/continue`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError

from crawler.errors import InvalidRequest
from crawler.options.json_text import parse_json
from crawler.options.parse import explain
from crawler.options.request import MAX_URLS
from crawler.options.wire import Closed, Whole


class Continuation(Closed):
    """How far to go on."""

    limit: Annotated[
        Whole,
        Field(ge=1, le=MAX_URLS, description="most URLs, those that are done included", examples=[1000]),
    ]


def parse_continuation(body: bytes) -> Continuation:
    """Check the body. Raises InvalidRequest, whose message names the fields."""
    tree = parse_json(body)
    if not isinstance(tree, Mapping):
        raise InvalidRequest('The body must be a JSON object such as {"limit": 1000}.')
    try:
        return Continuation.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from error
