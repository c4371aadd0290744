"""The doorbell: "there may be work". A lost, doubled or forged ring is harmless, the database is the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from crawler.model import Kind


class Doorbell(Protocol):
    """Rings for the pumps of one kind. Never raises and never blocks for long."""

    async def ring(self, kind: Kind) -> None:
        """Say that URLs of this kind may be due."""

    async def check(self) -> str:
        """ "ok", or what is wrong, in one sentence."""


class LocalDoorbell:
    """Wakes the pumps of this very process."""

    def __init__(self) -> None:
        self._listeners: dict[Kind, list[Callable[[], None]]] = {kind: [] for kind in Kind}

    def on_ring(self, kind: Kind, listener: Callable[[], None]) -> None:
        """Call `listener` at every ring for this kind."""
        self._listeners[kind].append(listener)

    async def ring(self, kind: Kind) -> None:
        """Say that URLs of this kind may be due."""
        for listener in self._listeners[kind]:
            listener()

    async def check(self) -> str:
        """Always "ok": there is nothing between the ring and the pump."""
        return "ok"
