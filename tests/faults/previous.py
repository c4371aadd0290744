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
    """The tree of the newest commit that does not know the newest migration, so the last version that ran on a database
    without it. Skips the test where there is no history to take it from."""
    commit = next((commit for commit in _git("rev-list", "HEAD").split() if _is_previous(commit)), None)
    if commit is None:
        pytest.skip("there is no history that reaches back to a version before the newest migration")
    archive = folder / "previous.tar"
    tree = folder / "previous"
    tree.mkdir()
    _git("archive", "--output", str(archive), commit)
    subprocess.run(["tar", "-xf", archive, "-C", tree], check=True)
    return tree


def _is_previous(commit: str) -> bool:
    """Whether it has migrations, one of each number, and not the newest."""
    names = _git("ls-tree", "--name-only", f"{commit}:migrations/versions").split()
    numbers = [name.partition("_")[0] for name in names if name.endswith(".py")]
    return bool(numbers) and len(set(numbers)) == len(numbers) and head() not in numbers


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
