"""The settings of a deployment that is about to be broken."""

from __future__ import annotations

import os
from pathlib import Path

from tests.distributed.conftest import TOKEN, Cluster
from tests.faults.origin import Origin

LEASE_SECONDS = 3.0
#: Short, so that a run has due times that nobody decided in time.
GRACE_SECONDS = 3


def make_cluster(folder: Path, port: int, origin: Origin, tree: Path) -> Cluster:
    """A deployment of `tree` without processes; leases are short, so that faults cost seconds."""
    environment = {
        **os.environ,
        **origin.environment,
        "CRAWL_DATA_DIR": str(folder / "data"),
        "CRAWL_API_TOKEN": TOKEN,
        "CRAWL_SECRET_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "CRAWL_LEASE_SECONDS": str(LEASE_SECONDS),
        "CRAWL_TICK_SECONDS": "0.5",
        "CRAWL_PUMP_SECONDS": "3",
        "CRAWL_STATIC_SLOTS": "8",
        "CRAWL_MIN_SCHEDULE_INTERVAL_SECONDS": "1",
        "CRAWL_SCHEDULE_GRACE_SECONDS": str(GRACE_SECONDS),
        # A page is believed to be as it was twice.
        "CRAWL_FULL_CHECK_EVERY": "3",
        "CRAWL_STOP_SECONDS": "5",
        "CRAWL_RATE_LIMIT_PER_SECOND": "0",
        # All hosts of the origin are at one address: with turns there they could hardly meet at a host.
        "CRAWL_ADDRESS_REQUESTS_PER_SECOND": "0",
        "CRAWL_EGRESS_ALLOWED_PORTS": "1-65535",
        "CRAWL_ALLOW_UNSANDBOXED": "1",
    }
    return Cluster(environment, folder, port, tree)
