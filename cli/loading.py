"""Loading a command's modules."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Import in this block, with the cyclic garbage collector off: it would look hundreds of times at what only grows,
    a sixth of the time. What has come is for good, so it is never looked at afterwards either."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
