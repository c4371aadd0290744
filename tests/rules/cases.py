"""The public test vectors beside the repository; the tests that need them are skipped where they are absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

_DEFAULT = Path(__file__).parents[2].parent / "shared" / "cases"


def load(name: str, *, section: str = "cases") -> list[dict[str, Any]]:
    """The cases of one file, such as `robots/allow_cases.json`. Skips the test when the folder is absent."""
    path = Path(os.environ.get("CRAWL_CASES_DIR", _DEFAULT)) / name
    if not path.exists():
        pytest.skip(f"no test vectors at {path}; set CRAWL_CASES_DIR")
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[section]
    return cases
