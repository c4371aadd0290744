"""Reading what is written on the command line: values of request fields, and options in sections of the help."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click


class WireValue(click.ParamType[object]):
    """A value of the request that is no plain text or number: JSON, `@file` with JSON, or the short form.

    `read_short` turns the short form into JSON's types and raises ValueError for text that has not that form.
    """

    def __init__(self, name: str, read_short: Callable[[str], object]) -> None:
        self.name = name
        self._read_short = read_short

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """The value as JSON's types."""
        text = str(value)
        try:
            if text.startswith("@"):
                text = Path(text[1:]).read_text()
            return json.loads(text) if text.lstrip().startswith("{") else self._read_short(text)
        except OSError as error:
            self.fail(f"{text[1:]}: {error.strerror}", param, ctx)
        except ValueError as error:
            self.fail(f"{text!r}: {error}", param, ctx)


def read_json_only(text: str) -> object:
    """For values without a short form."""
    raise ValueError("write it as JSON, {…}, or as @file")


def read_viewport(text: str) -> object:
    """`1280x720`."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ValueError("write it as WIDTHxHEIGHT or as JSON")
    return {"width": int(width), "height": int(height)}


def read_header(text: str) -> object:
    """`Name: value`."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("write it as 'Name: value'")
    return {name.strip(): value.strip()}


def read_cookie(text: str) -> object:
    """`name=value`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("write it as name=value or as JSON")
    return {"name": name, "value": value}


def read_credentials(text: str) -> object:
    """`user:password`."""
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("write it as user:password, or as @file with JSON")
    return {"username": username, "password": password}


def read_selector(text: str) -> object:
    """A CSS selector."""
    return {"selector": text}


def read_moment(text: str) -> object:
    """Unix seconds, or an ISO 8601 date or time; UTC where it names no zone."""
    if text.isdecimal():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class SectionOption(click.Option):
    """An option that is listed under a heading of its own in the help."""

    def __init__(self, *names: Any, section: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section


class SectionedCommand(click.Command):
    """A command whose help lists its options section by section."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those without a section last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                heading = parameter.section if isinstance(parameter, SectionOption) else "Other"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
