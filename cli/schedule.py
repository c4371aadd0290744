"""`crawl schedule`: crawls that a server starts again and again. Clients of the API, as `cli.remote`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from cli.api_client import open_client
from cli.arguments import SectionedCommand, SectionOption, WireValue
from cli.exits import ExitCode
from cli.printable import printable
from cli.request import build_body, request_flags
from crawler.schedules import CatchUp, Overlap, ScheduleRule

_WHEN = "When"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHOWN_RUNS = 10
_json_flag = click.option("--json", "as_json", is_flag=True, help="The server's answer as one line of JSON.")


def _read_duration(text: str) -> object:
    match = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if match is None:
        raise ValueError("write it as 90s, 30m, 6h, 1d or 2w")
    return round(timedelta(**{_UNITS[match[2]]: int(match[1])}).total_seconds())


_DURATION = WireValue("duration", _read_duration)


@click.group()
def schedule() -> None:
    """Crawl again and again, on a server."""


@schedule.command(cls=SectionedCommand)
@click.argument("url")
@click.option(
    "--cron", cls=SectionOption, section=_WHEN, help="'minute hour day month weekday', such as '30 3 * * *'."
)
@click.option(
    "--timezone", cls=SectionOption, section=_WHEN, help="Of --cron, such as Europe/Berlin.  [default: UTC]"
)
@click.option(
    "--every",
    "interval_seconds",
    cls=SectionOption,
    section=_WHEN,
    type=_DURATION,
    help="Instead of --cron: 30m, 6h, 1d, ….",
)
@click.option(
    "--jitter",
    "jitter_seconds",
    cls=SectionOption,
    section=_WHEN,
    type=_DURATION,
    help="With --every: later by up to so much, differently each time.  [default: none]",
)
@click.option(
    "--start",
    "start_at",
    cls=SectionOption,
    section=_WHEN,
    help="Not before: 2026-01-31T08:00:00Z.  [default: now]",
)
@click.option("--end", "end_at", cls=SectionOption, section=_WHEN, help="Not after.  [default: never]")
@click.option(
    "--overlap",
    cls=SectionOption,
    section=_WHEN,
    type=click.Choice([policy.value for policy in Overlap]),
    help="When the crawl before is still running.  [default: skip]",
)
@click.option(
    "--catch-up",
    cls=SectionOption,
    section=_WHEN,
    type=click.Choice([policy.value for policy in CatchUp]),
    help="Which times that were missed in a downtime to make up for.  [default: latest]",
)
@click.option("--name", cls=SectionOption, section=_WHEN, help="A note for yourself.")
@request_flags
@_json_flag
def add(url: str, as_json: bool, **flags: Any) -> ExitCode:
    """Crawl from URL again and again, and print the id of the schedule."""
    given = {str(field.alias): flags.pop(name, None) for name, field in ScheduleRule.model_fields.items()}
    rule = {name: value for name, value in given.items() if value is not None}
    with open_client() as client:
        added = client.add_schedule({**rule, "crawl": build_body(url, flags)})
    click.echo(json.dumps(added) if as_json else added["id"])
    return ExitCode.DONE


@schedule.command("list")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each schedule.")
def list_schedules(as_json: bool) -> ExitCode:
    """List schedules, newest first."""
    with open_client() as client:
        for item in client.schedules():
            click.echo(json.dumps(item) if as_json else _line(item, item["url"]))
    return ExitCode.DONE


@schedule.command()
@click.argument("schedule_id", metavar="ID")
@click.option(
    "--runs",
    "shown_runs",
    type=click.IntRange(0, 1000),
    default=_SHOWN_RUNS,
    show_default=True,
    help="Most runs to show.",
)
@_json_flag
def show(schedule_id: str, shown_runs: int, as_json: bool) -> ExitCode:
    """Show the schedule ID and its last runs, newest first."""
    with open_client() as client:
        found = client.schedule(schedule_id)
        runs = client.schedule_runs(schedule_id, limit=shown_runs) if shown_runs else []
    if as_json:
        click.echo(json.dumps({**found, "runs": runs}))
        return ExitCode.DONE
    click.echo(_line(found, found["crawl"]["url"]))
    for run in runs:
        click.echo(_run_line(run))
    return ExitCode.DONE


@schedule.command()
@click.argument("schedule_id", metavar="ID")
def pause(schedule_id: str) -> ExitCode:
    """Start nothing by the schedule ID until it is resumed."""
    return _change(schedule_id, {"paused": True}, "Paused.")


@schedule.command()
@click.argument("schedule_id", metavar="ID")
def resume(schedule_id: str) -> ExitCode:
    """Let a paused schedule go on with its next time."""
    return _change(schedule_id, {"paused": False}, "Resumed.")


@schedule.command("run-now")
@click.argument("schedule_id", metavar="ID")
@_json_flag
def run_now(schedule_id: str, as_json: bool) -> ExitCode:
    """Start the crawl of the schedule ID now and print its id."""
    with open_client() as client:
        run = client.run_schedule(schedule_id)
    if as_json:
        click.echo(json.dumps(run))
    elif "crawlId" in run:
        click.echo(run["crawlId"])
    else:
        click.echo(_run_line(run), err=True)
    return ExitCode.FAILED if run["status"] in ("refused", "skipped_overlap") else ExitCode.DONE


@schedule.command()
@click.argument("schedule_id", metavar="ID")
def remove(schedule_id: str) -> ExitCode:
    """Forget the schedule ID and its history. A crawl that it has started goes on."""
    with open_client() as client:
        click.echo(client.remove_schedule(schedule_id), err=True)
    return ExitCode.DONE


def _change(schedule_id: str, fields: Mapping[str, object], done: str) -> ExitCode:
    with open_client() as client:
        client.change_schedule(schedule_id, fields)
    click.echo(done, err=True)
    return ExitCode.DONE


def _line(item: Mapping[str, Any], url: str) -> str:
    when = (
        f"{item['cron']} {item.get('timezone', 'UTC')}"
        if "cron" in item
        else f"every {item['intervalSeconds']} s"
    )
    state = "paused" if item["paused"] else item["nextDueAt"] or "ended"
    return f"{item['id']}  {when}  {state}  {url}  {printable(item['name'])}".rstrip()


def _run_line(run: Mapping[str, Any]) -> str:
    what = run.get("crawlId") or run.get("reason", "")
    return f"{run['dueAt']}  {run['status']}{' (asked for)' if run['manual'] else ''}  {what}".rstrip()
