"""Fixtures for everything that leaves the machine: origins that may be reached and a canary that may not."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest

from tests.fetch.origins import PRIVATE, PUBLIC_TOO, Canary, Origin, origin, serving


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """Listeners on every forbidden address, at a port that the rules allow. The test fails if anybody comes."""
    async with AsyncExitStack() as stack:
        found = await _listen(stack)
        yield found
        assert found.hits == []


async def _listen(stack: AsyncExitStack) -> Canary:
    for port in random.sample(range(8000, 9000), 50):
        attempt = Canary(port)
        async with AsyncExitStack() as listeners:
            with suppress(OSError):
                for address in PRIVATE:
                    await listeners.enter_async_context(serving(attempt.serve, address, port))
                stack.push_async_exit(listeners.pop_all())
                return attempt
    raise AssertionError("no port is free on all canary addresses")


@pytest.fixture
async def site() -> AsyncIterator[Origin]:
    """An origin on the first public host."""
    async with origin() as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[Origin]:
    """An origin on the second public host."""
    async with origin(PUBLIC_TOO) as running:
        yield running
