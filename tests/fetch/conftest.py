"""Fixtures for everything that leaves the machine: origins that may be reached and a canary that may not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fetch.origins import PUBLIC_TOO, Canary, Origin, canary_on_private, origin


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    """Listeners on every forbidden address, at a port that the rules allow. The test fails if anybody comes."""
    async with canary_on_private() as found:
        yield found
        assert found.hits == []


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
