"""The rules of production with real private addresses, in a network of its own (tier N: A1 to A20, A38, A61, A62)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crawler.fetch.chromium import find_chromium
from crawler.settings import Settings
from tests.fetch.test_addresses import BLOCKED
from tests.netns.inside import FORBIDDEN_V4, FORBIDDEN_V6, INTERFACE, PUBLIC

pytestmark = [pytest.mark.netns, pytest.mark.browser, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
SET_UP = f"""set -e
ip link set lo up
for a in {" ".join((*FORBIDDEN_V4, *PUBLIC[:2]))}; do ip addr add $a/32 dev lo; done
for a in {" ".join((*FORBIDDEN_V6, PUBLIC[2]))}; do ip -6 addr add $a/128 dev lo nodad || true; done
# WebRTC looks for a way out only where there is an interface besides the loopback. This one leads to itself.
ip link add {INTERFACE} type veth peer name other0 || true
ip addr add 198.51.100.7/24 dev {INTERFACE} && ip link set {INTERFACE} up && ip link set other0 up || true
mount --bind "$1" /etc/resolv.conf
exec "$2" -m tests.netns.inside
"""


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What was seen inside. Skips where namespaces are not allowed or there is no browser."""
    unshare = ["unshare", "--net", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    for program in ("unshare", "ip", "mount"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    allowed = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if allowed.returncode:
        pytest.skip(f"this machine allows no network namespace: {allowed.stderr.strip()}")
    if find_chromium(Settings.load()) is None:
        pytest.skip("no Chromium is installed")
    names = tmp_path_factory.mktemp("netns") / "resolv.conf"
    names.write_text("nameserver 127.0.0.1\nsearch corp.test\noptions timeout:1 attempts:1\n")
    done = subprocess.run(
        [*unshare, "sh", "-c", SET_UP, "sh", str(names), sys.executable],
        cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", BLOCKED)
def test_a1_to_a18_no_literal_is_dialled(facts: Any, case: str) -> None:
    assert {facts["literals"][url] for url in BLOCKED[case]} <= {"blocked_destination", "bad_redirect"}


@pytest.mark.parametrize("address", [*FORBIDDEN_V4, *(f"[{address}]" for address in FORBIDDEN_V6)])
def test_a61_no_address_that_is_really_there_is_dialled(facts: Any, address: str) -> None:
    assert facts["literals"][f"http://{address}/"] == "blocked_destination"


def test_a20_public_addresses_are_fetched(facts: Any) -> None:
    assert facts["literals"][f"http://{PUBLIC[0]}/"] == "fetched"
    assert facts["literals"][f"http://[{PUBLIC[2]}]/"] == "fetched"


def test_a38_a40_names_are_judged_by_where_their_chain_ends(facts: Any) -> None:
    assert facts["names"] == {
        "good.public.test": "fetched",
        "chain.public.test": "fetched",
        "inside.public.test": "blocked_destination",
        "to-inside.public.test": "blocked_destination",
        "loop0.public.test": "dns_failure",
        "fail.public.test": "dns_failure",
        "missing.public.test": "dns_failure",
        "redis.a": "dns_failure",
    }


def test_a21_no_search_list_is_used(facts: Any) -> None:
    assert "redis.a" in facts["names_asked"]
    assert "redis.a.corp.test" not in facts["names_asked"]


@pytest.mark.parametrize("render", [False, True])
def test_a1_to_a18_as_links_and_in_sitemaps_they_are_no_pages(facts: Any, render: bool) -> None:
    records = facts[f"crawl_{render}"]
    start = f"http://{PUBLIC[0]}/"
    assert records.pop(start) == ["completed", ""]
    assert len(records) > 8
    assert {f"http://{address}/in-sitemap" for address in FORBIDDEN_V4[:3]} <= records.keys()
    for url, (status, _) in records.items():
        assert status in ("errored", "skipped", "disallowed"), url


def test_a61_nothing_gets_out_of_the_browser(facts: Any) -> None:
    assert facts["rendered"] == "tried"
    assert facts["hits"] == []


def test_a50_the_browser_asks_no_name_server(facts: Any) -> None:
    assert facts["names_asked_by_the_browser"] == []


def test_a62_the_kernel_alone_holds_a_browser_without_defences(facts: Any) -> None:
    """The same browser reaches a lot where it has a network, and nothing where it has none."""
    assert facts["unprotected"] == "tried"
    assert {"TCP 10.0.0.5", "TCP 169.254.169.254", "TCP fd00:ec2::254"} <= set(facts["unprotected_hits"])
    assert "UDP" in facts["unprotected_hits"] or not facts["has_interface"]
    assert facts["jailed"] == "tried"
    assert facts["jailed_hits"] == []
