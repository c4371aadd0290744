"""What a stranger meets first: the Makefile and the set-up steps say what they do, and do nothing twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tools import programs
from tools.setup import missing_servers

ROOT = Path(__file__).parent.parent
MAKE = shutil.which("make") or "make"
STAMPS = (".venv/.base", ".venv/.dev", ".venv/.chromium", ".venv/.servers")
TARGETS = ("setup", "crawl", "serve", "up", "test", "test-fast", "lint", "types", "bench", "clean", "help")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that is set up, with a `crawl` that only prints how it was called."""
    for name in ("Makefile", "pyproject.toml", "docker-compose.yml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    script(tmp_path / ".venv/bin/python", "exit 99")
    script(tmp_path / ".venv/bin/crawl", 'echo "crawl $* unsandboxed=$CRAWL_ALLOW_UNSANDBOXED"')
    for stamp in STAMPS:
        (tmp_path / stamp).touch()
    return tmp_path


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def make(
    checkout: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("CRAWL_", "MAKE", "MFLAGS"))
    }
    return subprocess.run(
        [MAKE, *arguments],
        cwd=checkout,
        env={**inherited, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_target(checkout: Path) -> None:
    listed = re.findall(r"^  ([a-z-]+)  ", make(checkout).stdout, flags=re.MULTILINE)
    assert set(TARGETS) <= set(listed)
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(phony.split()) == set(listed)


def test_a_second_setup_does_nothing(checkout: Path) -> None:
    assert "tools.setup" not in make(checkout, "--dry-run", "setup-test").stdout


@pytest.mark.parametrize(
    ("changed", "steps"),
    [
        ("requirements/base.txt", ["base", "chromium", "dev", "servers"]),
        ("requirements/dev.txt", ["dev", "servers"]),
        ("requirements/servers.txt", ["servers"]),
    ],
)
def test_a_changed_pin_repeats_only_the_steps_after_it(
    checkout: Path, changed: str, steps: list[str]
) -> None:
    newest = max((checkout / stamp).stat().st_mtime for stamp in STAMPS)
    os.utime(checkout / changed, (newest + 10, newest + 10))
    planned = re.findall(r"tools\.setup (\w+)", make(checkout, "--dry-run", "setup-test").stdout)
    assert sorted(planned) == steps


def test_a_missing_environment_is_created_first(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    planned = re.findall(r"tools\.setup (\w+)", make(checkout, "--dry-run", "setup").stdout)
    assert planned == ["venv", "base", "chromium"]


def test_crawl_hands_over_url_and_arguments(checkout: Path) -> None:
    url = "https://example.com/?a=1&b='2'"
    result = make(checkout, "crawl", f"URL={url}", "ARGS=--limit 50 --include '/docs/**'")
    assert result.stdout.startswith(f"crawl run {url} --limit 50 --include /docs/** ")


def test_crawl_without_url_takes_the_sample_site(checkout: Path) -> None:
    planned = make(checkout, "--dry-run", "crawl", "ARGS=--no-render").stdout
    assert re.search(r"-m tests\.site -- \.venv/bin/crawl run '\{url\}' .*--no-render", planned)


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to do without the sandbox")
def test_root_is_warned_that_there_is_no_sandbox(checkout: Path) -> None:
    result = make(checkout, "serve")
    assert "without its sandbox" in result.stderr
    assert "unsandboxed=1" in result.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root has to do without the sandbox")
def test_a_decision_of_the_user_is_kept(checkout: Path) -> None:
    result = make(checkout, "serve", env={"CRAWL_ALLOW_UNSANDBOXED": "0"})
    assert result.stderr == ""
    assert "unsandboxed=0" in result.stdout


def test_up_without_docker_says_what_to_do(checkout: Path, tmp_path: Path) -> None:
    result = make(checkout, "up", env={"PATH": str(tmp_path / "nowhere")})
    assert result.returncode == 2
    assert result.stderr.startswith("up: docker compose is needed; without it use `make serve`\n")


def test_an_old_python_is_refused_with_what_to_install(tmp_path: Path) -> None:
    script(tmp_path / "python3", "exit 1")
    result = subprocess.run(
        [ROOT / "tools/find-python"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert re.fullmatch(r"setup: Python 3\.11 or newer is needed: .*\n", result.stderr)


def test_a_newer_python_is_found_behind_an_old_one(tmp_path: Path) -> None:
    script(tmp_path / "python3", "exit 1")
    script(tmp_path / "python3.12", f'exec {sys.executable} "$@"')
    command = [ROOT / "tools/find-python"]
    found = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert found.stdout == "python3.12\n"


def test_a_python_without_venv_is_told_apart(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['ensurepip'] = None; from tools.setup import main; sys.exit(main(['venv']))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(
        command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "install python3-venv" in result.stderr


def test_named_servers_are_not_looked_for() -> None:
    def none_installed(name: str) -> None:
        return None

    given = {
        "CRAWL_TEST_DATABASE_URL": "postgresql://127.0.0.1/",
        "CRAWL_TEST_REDIS_URL": "redis://127.0.0.1/5",
    }
    assert missing_servers({}, none_installed) == ["initdb", "redis-server"]
    assert missing_servers(given, none_installed) == []
    assert missing_servers({"CRAWL_TEST_REDIS_URL": "redis://127.0.0.1/5"}, none_installed) == ["initdb"]


def test_a_server_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "redis-server", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.find_server("redis-server") == tmp_path / "redis-server"
    assert programs.find_server("no-such-server") is None


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda file: file.name)
def test_every_pin_has_a_hash_and_none_names_a_host(file: Path) -> None:
    text = file.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    for requirement in text.replace("\\\n", " ").splitlines():
        assert re.match(r"[a-z0-9._\[\],-]+==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_the_gate_calls_targets_that_exist(checkout: Path) -> None:
    gate = ROOT / ".ci/run"
    assert os.access(gate, os.X_OK)
    called = re.findall(r"^step make (\S+)$", gate.read_text(), flags=re.MULTILINE)
    assert set(called) >= {"lint", "types", "test"}
    for target in called:
        assert make(checkout, "--dry-run", target).returncode == 0, target
