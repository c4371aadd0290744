"""A deployment for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.evidence import install_audit
from tests.faults.origin import Origin
from tests.faults.rig import Rig, make_cluster
from tests.servers import free_port


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole deployments take half a minute per fault: they run where they are asked for, by `-m chaos`."""
    if "chaos" in config.option.markexpr:
        return
    chaos = [item for item in items if item.get_closest_marker("chaos")]
    items[:] = [item for item in items if item not in chaos]
    config.hook.pytest_deselected(items=chaos)


@pytest.fixture
async def rig(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A deployment without processes, whose database is recorded."""
    await install_audit(database_url)
    with ExitStack() as stack:
        origin = stack.enter_context(Origin())
        running = Rig(make_cluster(tmp_path, free_port(), origin), origin, database_url, redis_url, stack)
        try:
            yield running
        finally:
            await running.close()
