"""Long answers: what they hold while their readers take their time is bounded, and so is that time.

A short answer is left to the server and the kernel as a whole. A long one is made and sent piece by piece, as fast as
its reader takes them; meanwhile it counts in the outbox of its process (docs/adr/0025-slow-readers.md).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.errors import answer
from crawler.errors import Unavailable
from crawler.settings import Settings

#: What is sent at once, and the longest answer that is no long one.
PIECE_BYTES = 1 << 16
#: Of every answer: what is asked for changes while a crawl runs.
HEADERS = {"Cache-Control": "no-store"}
_RETRY_SECONDS = 5

log = logging.getLogger(__name__)


class Outbox:
    """The memory of all long answers of a process."""

    def __init__(self, settings: Settings) -> None:
        self.seconds = settings.answer_seconds
        self._most = settings.answer_memory_bytes
        self._held = 0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count `size` bytes for the time of the block. Raises Unavailable when there is no room for them; the only
        answer always has it."""
        if self._held and self._held + size > self._most:
            raise Unavailable(
                "Too many readers are slow to take their answers; please try again.", _RETRY_SECONDS
            )
        self._held += size
        try:
            yield
        finally:
            self._held -= size


class LongAnswer(StreamingResponse):
    """JSON in pieces, of which `size` bytes of memory are held until the reader has taken them all.

    Where there is no room for it the answer is 503. A reader that is too slow finds its connection closed.
    """

    def __init__(self, pieces: AsyncIterator[bytes], size: int) -> None:
        super().__init__(pieces, media_type="application/json", headers=HEADERS)
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        outbox: Outbox = scope["app"].state.services.outbox
        try:
            with outbox.hold(self._size):
                async with asyncio.timeout(outbox.seconds):
                    await super().__call__(scope, receive, send)
        except Unavailable as error:
            await answer(error)(scope, receive, send)
        except TimeoutError:
            # The server closes a connection whose answer was not completed.
            log.warning("a reader took more than %g s for its answer and was cut off", outbox.seconds)


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    """Cut a text that is there as a whole."""
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
