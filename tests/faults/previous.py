"""The version before this one, as a tree of its own: what runs beside the new one while a deployment is renewed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crawler.store.migrate import head
from tests.distributed.conftest import ROOT


def unpack_previous(folder: Path) -> Path:
    """The tree of the last commit that does not know the newest migration, so the newest that runs on a database
    without it. Skips the test where there is no history to take it from."""
    (newest,) = (ROOT / "migrations" / "versions").glob(f"{head()}_*.py")
    added = _git("log", "--diff-filter=A", "--format=%H", "--", str(newest.relative_to(ROOT))).split()
    if not added or not _git("rev-parse", "--verify", "--quiet", f"{added[-1]}^"):
        pytest.skip("the history does not reach back to a version before the newest migration")
    archive = folder / "previous.tar"
    tree = folder / "previous"
    tree.mkdir()
    _git("archive", "--output", str(archive), f"{added[-1]}^")
    subprocess.run(["tar", "-xf", archive, "-C", tree], check=True)
    return tree


def migrate(tree: Path, database_url: str) -> subprocess.Popen[bytes]:
    """Start `crawl migrate` of a tree."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "migrate"],
        cwd=tree,
        env={**os.environ, "CRAWL_DATABASE_URL": database_url, "PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _git(*arguments: str) -> str:
    """What git says; nothing where it fails."""
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""
