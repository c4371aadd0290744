"""kombu's Redis transport, except that rubbish in a queue is dropped: as it comes, it would end the worker."""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

log = logging.getLogger(__name__)

#: What kombu raises for bytes that are no JSON, JSON that is no message, and JSON that is nested too deep.
_RUBBISH = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Channel(redis.Channel):
    """Reads messages from lists that anybody with access to Redis may have written to."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except _RUBBISH as error:
            log.warning("dropped a message that is none: %s", type(error).__name__)
            raise Empty from error


class Transport(redis.Transport):
    """See `Channel`."""

    Channel = Channel


def use_for_redis() -> None:
    """Let kombu take this transport for `redis://` and `rediss://`, in this process."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "workers.transport:Transport"))
