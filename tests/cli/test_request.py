"""The table of request flags against the request contract."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli.request import FLAGS, build_body, request_flags
from crawler.options import CrawlOptions, parse_options
from crawler.options.request import ScopeOptions

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def body_of(*arguments: str) -> dict[str, Any]:
    """The body that a command with these arguments sends. Raises click.UsageError."""
    bodies: list[dict[str, Any]] = []

    @click.command()
    @click.argument("url")
    @request_flags
    def command(url: str, **flags: Any) -> None:
        bodies.append(build_body(url, flags))

    command.main(["https://a.test/", *arguments], standalone_mode=False)
    return bodies[0]


def test_every_field_of_the_contract_has_a_flag() -> None:
    fields = {field.alias for field in CrawlOptions.model_fields.values()} - {"url"}
    fields |= {f"options.{field.alias}" for field in ScopeOptions.model_fields.values()}
    covered = {flag.field for flag in FLAGS} | {flag.field.partition(".")[0] for flag in FLAGS}
    assert fields <= covered


def test_without_flags_only_the_format_is_sent() -> None:
    assert body_of() == {"url": "https://a.test/", "formats": ["markdown"]}


def test_the_defaults_that_the_help_states_are_those_of_the_contract() -> None:
    options = parse_options({"url": "https://a.test/"}, now=NOW)
    stated = {
        flag.field: match[1]
        for flag in FLAGS
        if (match := re.search(r"\[default: (.+)\]", flag.attributes["help"]))
    }
    assert stated["limit"] == str(options.limit)
    assert stated["depth"] == str(options.depth)
    assert stated["source"] == options.source
    assert stated["maxAge"] == f"{options.max_age:.0f}"
    assert stated["contentUse"] == options.content_use
    assert stated["gotoOptions.timeout"] == f"{options.goto_options.timeout:.0f}"
    assert (stated["gotoOptions.waitUntil"],) == options.goto_options.wait_until
    assert stated["viewport"] == f"{options.viewport.width}x{options.viewport.height}"
    assert options.render
    assert options.set_java_script_enabled


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["--limit", "7", "--depth", "2", "--source", "links"], {"limit": 7, "depth": 2, "source": "links"}),
        (["--no-render"], {"render": False}),
        (["--render"], {"render": True}),
        (["-f", "html", "--format", "markdown"], {"formats": ["html", "markdown"]}),
        (
            ["--include", "*/a/**", "--include", "*/b", "--exclude", "*/c", "--subdomains"],
            {
                "options": {
                    "includePatterns": ["*/a/**", "*/b"],
                    "excludePatterns": ["*/c"],
                    "includeSubdomains": True,
                }
            },
        ),
        (["--external"], {"options": {"includeExternalLinks": True}}),
        (["--modified-since", "2026-11-01"], {"modifiedSince": 1793491200}),
        (["--modified-since", "2026-11-01T01:00:00+01:00"], {"modifiedSince": 1793491200}),
        (["--modified-since", "1793491200"], {"modifiedSince": 1793491200}),
        (["--incremental", "--recheck-within", "604800"], {"incremental": True, "recheckWithin": 604_800}),
        (["--viewport", "800x600"], {"viewport": {"width": 800, "height": 600}}),
        (["--viewport", '{"width":8,"height":6}'], {"viewport": {"width": 8, "height": 6}}),
        (
            ["--header", "X-A: b: c", "--header", "X-B:d"],
            {"setExtraHTTPHeaders": {"X-A": "b: c", "X-B": "d"}},
        ),
        (["--cookie", "a=b=c"], {"cookies": [{"name": "a", "value": "b=c"}]}),
        (["--authenticate", "me:se:cret"], {"authenticate": {"username": "me", "password": "se:cret"}}),
        (
            ["--wait-until", "load", "--goto-timeout", "5"],
            {"gotoOptions": {"waitUntil": ["load"], "timeout": 5.0}},
        ),
        (["--wait-for-selector", "main > p"], {"waitForSelector": {"selector": "main > p"}}),
        (["--add-script", '{"content": "1"}'], {"addScriptTag": [{"content": "1"}]}),
        (
            ["--json-prompt", "The price?", "--json-schema", '{"properties": {"price": "number"}}'],
            {
                "jsonOptions": {
                    "prompt": "The price?",
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"properties": {"price": "number"}},
                    },
                }
            },
        ),
        (["--no-javascript", "--best-attempt"], {"setJavaScriptEnabled": False, "bestAttempt": True}),
    ],
)
def test_flags_fill_their_fields(arguments: list[str], fields: dict[str, Any]) -> None:
    body = body_of(*arguments)

    assert body == {"url": "https://a.test/", "formats": ["markdown"]} | fields
    parse_options(body, now=NOW)


def test_values_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "login.json"
    file.write_text('{"username": "me", "password": "secret"}')

    assert body_of("--authenticate", f"@{file}")["authenticate"] == {"username": "me", "password": "secret"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--viewport", "big"],
        ["--header", "nothing"],
        ["--cookie", '{"name": '],
        ["--json-options", "what is it?"],
        ["--modified-since", "yesterday"],
        ["--authenticate", "@/does/not/exist"],
        ["--limit", "many"],
    ],
)
def test_a_value_in_the_wrong_form_names_its_flag(arguments: list[str]) -> None:
    with pytest.raises(click.BadParameter) as caught:
        body_of(*arguments)
    assert arguments[0] in caught.value.format_message()


def test_help_lists_every_flag_in_its_section() -> None:
    from cli.run import run

    text = CliRunner().invoke(run, ["--help"]).output
    positions = [
        text.index(heading) for heading in ("Which pages:", "What to keep", "How to render:", "Other:")
    ]
    assert positions == sorted(positions)
    for flag in FLAGS:
        assert flag.names[0].partition("/")[0] in text
