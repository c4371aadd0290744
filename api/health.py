"""Whether the process lives, and whether it can do its work."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from api.deps import ServicesNow

router = APIRouter()


class Health(BaseModel):
    """The process answers."""

    status: str


class Readiness(BaseModel):
    """Each part of the service: `ok`, or what is wrong with it."""

    status: str
    parts: dict[str, str]
    #: What the operator has allowed at a risk; it does not make the service unready.
    warnings: tuple[str, ...]


@router.get("/health", response_model=Health)
async def health() -> Response:
    """Answers as long as the process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
async def ready(services: ServicesNow) -> Response:
    """Answers 200 when every part that a crawl needs works, else 503."""
    parts = await services.readiness()
    is_ready = all(state == "ok" for state in parts.values())
    return JSONResponse(
        {
            "status": "ok" if is_ready else "not ready",
            "parts": parts,
            "warnings": services.runtime.warnings,
        },
        HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )
