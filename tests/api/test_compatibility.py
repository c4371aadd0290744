"""The page about compatibility names what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from crawler.model import ErrorCode
from crawler.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text()


def test_every_error_reason_is_named() -> None:
    assert [code for code in ErrorCode if f"`{code}`" not in PAGE] == []


def test_every_named_setting_exists() -> None:
    named = set(re.findall(r"CRAWL_([A-Z_]+)", PAGE))
    assert named
    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_defaults_that_are_named_are_in_force() -> None:
    defaults = Settings.model_construct()
    assert defaults.max_body_bytes == 1 << 20
    assert defaults.rate_limit_per_second == 30
    assert defaults.failed_logins_per_minute == 30
    assert defaults.body_timeout_seconds == 10
