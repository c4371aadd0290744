"""The list of commands."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from cli.exits import exit_code
from cli.main import COMMANDS, crawl
from crawler.model import CrawlStatus
from tests.cli.process import ROOT

NAMES = [name for section in COMMANDS.values() for name, _, _ in section]
HEAVY = {"sqlalchemy", "pydantic", "aiohttp", "playwright", "fastapi", "celery", "rich", "httpx", "asyncio"}


def test_help_lists_every_command_in_sections() -> None:
    text = CliRunner().invoke(crawl, ["--help"]).output
    listed = text.partition(next(iter(COMMANDS)))[2]
    assert re.findall(r"^  ([a-z]+)  ", listed, flags=re.MULTILINE) == NAMES
    for heading in COMMANDS:
        assert f"{heading}:" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_its_options(name: str) -> None:
    command = crawl.get_command(click.Context(crawl), name)
    assert command is not None
    commands = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for found in commands:
        assert found.help
        for parameter in found.params:
            assert isinstance(parameter, click.Argument) or (
                isinstance(parameter, click.Option) and parameter.help
            ), parameter


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], []])
def test_help_does_not_load_the_crawler(arguments: list[str]) -> None:
    code = (
        "import sys; from cli.main import crawl; from click.testing import CliRunner; "
        f"CliRunner().invoke(crawl, {arguments!r}); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(loaded.stdout.split())


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(crawl, ["dance"]).exit_code == 2


@pytest.mark.parametrize(
    ("status", "completed", "errored", "code"),
    [
        (CrawlStatus.COMPLETED, 5, 0, 0),
        (CrawlStatus.COMPLETED, 5, 5, 0),
        (CrawlStatus.COMPLETED, 0, 0, 0),
        (CrawlStatus.COMPLETED, 0, 5, 3),
        (CrawlStatus.ERRORED, 5, 0, 1),
        (CrawlStatus.CANCELLED_BY_USER, 5, 0, 4),
        (CrawlStatus.CANCELLED_DUE_TO_TIMEOUT, 5, 0, 4),
        (CrawlStatus.CANCELLED_DUE_TO_LIMITS, 5, 0, 4),
        (CrawlStatus.RUNNING, 5, 0, 130),
    ],
)
def test_exit_codes_of_crawls(status: CrawlStatus, completed: int, errored: int, code: int) -> None:
    assert exit_code(status, completed=completed, errored=errored) == code
