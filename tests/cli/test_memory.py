"""Memory runs short around a server: no page is begun, everybody can see why, and all goes on once there is enough."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from crawler import memory
from crawler.settings import Settings
from tests.api.server import Server
from tests.cli.serving import server_process
from tests.engine.origin import NOT_FOUND, answer, serve
from tests.fetch.origins import PUBLIC

LIMIT_BYTES = 2 << 30
#: More than an eighth of the limit, which is all that counts, and half as much again before pages are begun once more.
FREE_BYTES = 1 << 30
#: Too little, even with the 130 MiB that the idle browser gives back when it is closed for the lack of memory.
LEFT_BYTES = 128 << 20
#: Takes memory and keeps it until it is killed.
_HOG = "import sys; taken = b'x' * int(sys.argv[1]); print('taken', flush=True); sys.stdin.read()"


class Group:
    """A control group with a limit of memory."""

    def __init__(self, place: Path, limit: str, usage: str, prefix: str) -> None:
        self._place = place
        self._names = (limit, usage, prefix)
        place.mkdir()
        (place / limit).write_text(str(LIMIT_BYTES))

    def take_in(self, pid: int) -> None:
        (self._place / "cgroup.procs").write_text(str(pid))

    @property
    def free(self) -> int:
        """Bytes, with those that the kernel has lent to files."""
        return next(memory._limits(self._place, "/", *self._names)).free


@pytest.fixture
async def group() -> AsyncIterator[Group]:
    """A control group of this test's own, whichever version the machine has."""
    name = f"crawl-test-{uuid4().hex}"
    root = Path("/sys/fs/cgroup")
    versions = (
        (root / name, "memory.max", "memory.current", ""),
        (root / "memory" / name, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    )
    place, *names = versions[(root / "memory").is_dir()]
    try:
        found = Group(place, *names)
    except OSError as error:
        with suppress(OSError):
            place.rmdir()
        pytest.skip(f"this machine lets nobody make a control group: {error}")
    yield found
    async with asyncio.timeout(20):
        # A server that is killed takes its children along, but they need a moment.
        while (place / "cgroup.procs").read_text():
            await asyncio.sleep(0.05)
    place.rmdir()


async def until(server: Server, name: str, holds: Callable[[float], bool]) -> None:
    """Wait until this holds for the metric `name` of static pages."""
    async with asyncio.timeout(30):
        while True:
            metrics = await server.request("GET", server.origin + "/metrics")
            shown = re.search(rf'^{name}{{kind="static"}} (\S+)$', metrics.text, re.MULTILINE)
            if shown is not None and holds(float(shown[1])):
                return
            await asyncio.sleep(0.05)


async def memory_part(server: Server) -> str:
    """What the server says about its memory."""
    return str((await server.request("GET", server.origin + "/ready")).json()["parts"]["memory"])


async def test_no_page_is_begun_while_memory_is_short(group: Group, tmp_path: Path) -> None:
    pages = {"/robots.txt": NOT_FOUND}
    async with (
        serve(lambda path: pages.get(path, answer("page")), PUBLIC) as origin,
        server_process(
            tmp_path, {"CRAWL_MIN_FREE_MEMORY_BYTES": str(FREE_BYTES)}, on_start=group.take_in
        ) as (server, _),
    ):
        body = {"url": origin.url(host=PUBLIC), "source": "links", "limit": 1}
        assert (await server.crawl(**body))["finished"] == 1
        assert await memory_part(server) == "ok"
        with subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.readline(); " + _HOG, str(group.free - LEFT_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as hog:
            assert hog.stdin is not None
            assert hog.stdout is not None
            group.take_in(hog.pid)
            hog.stdin.write(b"go\n")
            hog.stdin.flush()
            assert await asyncio.to_thread(hog.stdout.readline) == b"taken\n"
            await until(server, "crawl_paused", lambda value: value == 1)
            assert re.search("free in the control group, (256|384) are needed", await memory_part(server))
            assert (await server.request("GET", server.origin + "/ready")).status_code == 503
            crawl_id = await server.create(**body | {"url": origin.url("/later", host=PUBLIC)})
            # Two seconds are time for several looks of a pump that may look.
            await until(server, "crawl_late_seconds", lambda value: value > 2)
            assert (await server.read(crawl_id))["records"][0]["status"] == "queued"
            assert "/later" not in origin.paths
            hog.kill()
        assert (await server.wait(crawl_id))["records"][0]["status"] == "completed"
        await until(server, "crawl_paused", lambda value: value == 0)
        assert await memory_part(server) == "ok"


def test_the_limits_of_a_group_and_of_those_around_it(tmp_path: Path) -> None:
    """The files of version 2; what can be dropped counts as free."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for place, limit, used in ((inner, "max", 50), (inner.parent, "1000", 900)):
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{used}\n")
        (place / "memory.stat").write_text("anon 500\ninactive_file 100\nactive_file 30\nshmem 7\n")
    spaces = list(memory._limits(tmp_path, "/outer/inner", "memory.max", "memory.current", ""))
    assert [(space.free, space.total) for space in spaces] == [(230, 1000)]
    assert list(memory._limits(tmp_path, "/not/here", "memory.max", "memory.current", "")) == []


def test_memory_is_not_looked_at_where_nobody_wants_any_to_be_free() -> None:
    assert memory.Memory(Settings.load(min_free_memory_bytes=0)).shortage() == ""
