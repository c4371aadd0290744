"""Public test vectors, kept outside of the repository. Tests that need them skip where they are not there."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("CRAWL_CASES_DIR") or Path(__file__).parents[2] / ".." / "shared" / "cases")
#: Real documentation pages of Debian's package git-doc.
DOCUMENTATION = Path("/usr/share/doc/git/html")


def load(name: str) -> Any:
    """The JSON file `name` of the case folder."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"{name} is not in the case folder")
    return json.loads(path.read_text(encoding="utf-8"))


def binary(value: str | dict[str, str]) -> bytes:
    """A value of a case: text, or bytes in base64."""
    return b64decode(value["b64"]) if isinstance(value, dict) else value.encode()


def documentation() -> list[str]:
    pages = sorted(DOCUMENTATION.glob("*.html"))
    if not pages:
        pytest.skip("git-doc is not installed")
    return [page.read_text(encoding="utf-8") for page in pages]
