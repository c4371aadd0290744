"""What the routes of every resource have in common: the envelope of a success, the refusals to document, ids."""

from __future__ import annotations

import re
from typing import Any

from fastapi.responses import JSONResponse, Response

from api.schemas import ErrorAnswer
from api.sending import HEADERS, PIECE_BYTES, LongAnswer, in_pieces

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_id(text: str) -> bool:
    """Whether this has the form of our ids. Another one is simply unknown; the database need not be asked."""
    return _ID.fullmatch(text) is not None


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that any route may give, and these: what a route passes to FastAPI as `responses`."""
    return {status: {"model": ErrorAnswer} for status in (400, 401, 404, 429, 500, 503, *statuses)}


def success(result: object) -> Response:
    """A result in the envelope (contract A.3)."""
    content = {"success": True, "result": result, "errors": [], "messages": []}
    whole = JSONResponse(content, headers=HEADERS)
    body = bytes(whole.body)
    return whole if len(body) <= PIECE_BYTES else LongAnswer(in_pieces(body), len(body))
