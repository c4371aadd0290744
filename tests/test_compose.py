"""docker-compose.yml asks only for what exists, publishes only the API, and can be scaled.

No container is started here; the rules are those that a reader of the file would check.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli.main import crawl
from crawler.settings import Settings

ROOT = Path(__file__).parent.parent
OURS = {"migrate", "api", "worker-static", "worker-render", "scheduler"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def check_command(arguments: list[str]) -> None:
    """Parse as the command line would, without running anything. Raises click.UsageError."""
    name, command, rest = crawl.resolve_command(click.Context(crawl), arguments)
    assert command is not None, arguments
    command.make_context(name, rest)


def test_every_part_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert services.keys() == OURS | {"postgres", "redis"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_is_one_of_ours(services: dict[str, dict[str, Any]], name: str) -> None:
    check_command(services[name]["command"])


def test_every_health_check_is_a_command_of_ours(services: dict[str, dict[str, Any]]) -> None:
    tests = [service.get("healthcheck", {}).get("test", []) for service in services.values()]
    commands = [test[2:] for test in tests if test[1:2] == ["crawl"]]
    assert len(commands) == 3
    for command in commands:
        check_command(command)


def test_the_image_serves_by_default() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    [command] = re.findall(r"^CMD (\[.*\])$", dockerfile, flags=re.MULTILINE)
    check_command(json.loads(command))


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_a_setting(services: dict[str, dict[str, Any]], name: str) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    variables = {*services[name]["environment"], *re.findall(r"CRAWL_[A-Z_]+(?==)", dockerfile)}
    fields = {f"CRAWL_{field.upper()}" for field in Settings.model_fields}
    assert variables <= fields


def test_every_substitution_is_explained() -> None:
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert used == set(re.findall(r"^(?:# )?(\w+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))


def test_only_the_api_is_published_and_only_on_loopback(services: dict[str, dict[str, Any]]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published.keys() == {"api"}
    [port] = published["api"]
    assert re.fullmatch(r"127\.0\.0\.1:\$\{CRAWL_PORT:-(\d+)\}:\1", port)
    assert port.endswith(f":{Settings.model_fields['port'].default}")


def test_stores_have_no_way_out(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    assert services["postgres"]["networks"] == services["redis"]["networks"] == ["inside"]
    assert compose["networks"]["inside"] == {"internal": True}


def test_every_part_can_be_scaled(services: dict[str, dict[str, Any]]) -> None:
    assert not [name for name, service in services.items() if "container_name" in service]
    assert not [
        name for name, service in services.items() if name.startswith("worker") and "ports" in service
    ]


def test_every_part_is_confined(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
    assert re.search(r"^USER crawl$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert services["postgres"]["user"] == "postgres"
    assert services["redis"]["user"] == "redis"


def test_every_part_that_lasts_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    without = {name for name, service in services.items() if service.get("healthcheck") is None}
    assert without == {"api"}, "the API has that of the image"
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_parts_wait_for_the_schema(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS - {"migrate"}:
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_named_volumes_and_networks_exist(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    for service in services.values():
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= compose["volumes"].keys()
        assert set(service["networks"]) <= compose["networks"].keys()


def test_redis_keeps_nothing_and_evicts_nothing(services: dict[str, dict[str, Any]]) -> None:
    command = services["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--save"] == ""
    assert options["--appendonly"] == "no"
    assert options["--maxmemory-policy"] == "noeviction"


def test_chromium_may_build_its_sandbox(services: dict[str, dict[str, Any]]) -> None:
    [option] = [text for text in services["worker-render"]["security_opt"] if text.startswith("seccomp:")]
    profile = json.loads((ROOT / option.removeprefix("seccomp:")).read_text())
    refused = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    assert not refused & {"clone", "clone3", "unshare", "setns", "chroot", "ptrace", "seccomp"}
    assert refused >= {"mount", "bpf", "keyctl", "init_module", "io_uring_setup", "perf_event_open"}


def test_the_image_holds_what_it_copies() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    sources = {source.rstrip("/") for line in copied for source in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{source}" for source in sources} == {entry for entry in ignored if entry.startswith("!")}
