"""The distributed service as it is deployed, started natively: the commands of docker-compose.yml as processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import psutil
import pytest

from tests.servers import free_port
from tests.site.server import Site

TOKEN = "test-token-of-the-cluster"
START_SECONDS = 60.0
ROOT = Path(__file__).parents[2]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Poll a condition; fail with `what` when it does not come true."""
    ends_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends_at:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


@dataclass
class Cluster:
    """Processes of one deployment. Everything that is started here ends here."""

    environment: dict[str, str]
    folder: Path
    port: int
    #: Whose program is started.
    tree: Path = ROOT
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    logs: list[IO[bytes]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/client/v4"

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `crawl <arguments>` in a process group of its own."""
        log = (self.folder / f"{name}.log").open("ab")
        self.logs.append(log)
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.tree,
            env={**self.environment, "PYTHONPATH": str(self.tree)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.processes[name] = process
        return process

    def start_api(self) -> None:
        self.start("api", "serve", "--port", str(self.port))
        wait_until(self.is_ready, "the API is ready", START_SECONDS)

    def is_ready(self) -> bool:
        try:
            # No TLS is spoken: loading certificates twenty times a second would take a processor from the API.
            answer = httpx.get(f"http://127.0.0.1:{self.port}/ready", timeout=5, verify=False)
            return answer.status_code == 200
        except httpx.TransportError:
            return False

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self, name: str, signum: signal.Signals = signal.SIGTERM, seconds: float = 40) -> float:
        """Signal one process and wait for its end. Returns how long that took, seconds."""
        process = self.processes.pop(name)
        started = time.monotonic()
        process.send_signal(signum)
        process.wait(seconds)
        return time.monotonic() - started

    def kill(self, name: str) -> None:
        """SIGKILL a process and all below it, as the kernel's OOM killer would."""
        process = self.processes.pop(name)
        tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in tree:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait(10)

    def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
        for log in self.logs:
            log.close()


@pytest.fixture
def cluster(database_url: str, redis_url: str, tmp_path: Path, site: Site) -> Iterator[Cluster]:
    """A cluster without processes, configured for the sample site. Leases are short, so that faults cost seconds."""
    port = free_port()
    environment = {
        **os.environ,
        **site.environment,
        "CRAWL_DATABASE_URL": database_url,
        "CRAWL_BROKER_URL": redis_url,
        "CRAWL_DATA_DIR": str(tmp_path / "data"),
        "CRAWL_API_TOKEN": TOKEN,
        "CRAWL_DEFAULT_DELAY": "0.02",
        "CRAWL_LEASE_SECONDS": "2",
        "CRAWL_TICK_SECONDS": "0.5",
        "CRAWL_PUMP_SECONDS": "5",
        "CRAWL_ALLOW_UNSANDBOXED": "1",
    }
    running = Cluster(environment, tmp_path, port)
    try:
        yield running
    finally:
        running.close()
