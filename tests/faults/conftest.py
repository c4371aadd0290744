"""A deployment for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.distributed.conftest import ROOT
from tests.faults.deployment import make_cluster
from tests.faults.evidence import install_audit
from tests.faults.origin import Origin
from tests.faults.rig import Rig
from tests.servers import free_port


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole deployments take half a minute per fault: they run where they are asked for, by `-m chaos`, and everywhere
    if they are marked `chaos(always=True)`."""
    if "chaos" in config.option.markexpr:
        return
    left_out = [item for item in items if _is_left_out(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _is_left_out(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("chaos")
    return marker is not None and not marker.kwargs.get("always", False)


@pytest.fixture
async def rig(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """A deployment without processes, whose database is recorded."""
    async with open_rig(database_url, redis_url, tmp_path) as running:
        yield running


@asynccontextmanager
async def open_rig(
    database_url: str, redis_url: str, folder: Path, *, tree: Path = ROOT
) -> AsyncIterator[Rig]:
    """The same for a database that is not of this version but of the one in `tree`."""
    await install_audit(database_url)
    with ExitStack() as stack:
        origin = stack.enter_context(Origin())
        cluster = make_cluster(folder, free_port(), origin, tree)
        running = Rig(cluster, origin, database_url, redis_url, stack)
        try:
            yield running
        finally:
            await running.close()
