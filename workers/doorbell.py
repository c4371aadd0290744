"""Whom to tell of new work: nobody without a broker, and then the broker's client need not be loaded either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawler.settings import Settings

if TYPE_CHECKING:
    from workers.celery_doorbell import CeleryDoorbell


def open_doorbell(settings: Settings) -> CeleryDoorbell | None:
    """The doorbell that the settings ask for; None: embedded, there is nobody else to ring."""
    if settings.embedded:
        return None
    from workers.celery_app import make_celery  # noqa: PLC0415
    from workers.celery_doorbell import CeleryDoorbell  # noqa: PLC0415

    return CeleryDoorbell(make_celery(settings))
