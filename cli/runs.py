"""`crawl retry|continue|diff`: clients of the API, between two runs of one site."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from cli.api_client import ApiClient, open_client
from cli.exits import ExitCode
from cli.printable import printable
from cli.remote import wait_and_report
from cli.summary import report_flags
from crawler.changes import PageChange

_COLOURS = {PageChange.NEW: "green", PageChange.CHANGED: "yellow", PageChange.REMOVED: "red"}


@click.command()
@click.argument("crawl_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Show the crawl until it ends; then write to --output, if given.")
@report_flags(output_default="nothing is downloaded")
def retry(crawl_id: str, **flags: Any) -> ExitCode:
    """Crawl the errored pages of the ended crawl ID again and print the id of the crawl that does."""
    with open_client() as client:
        return _started(client, client.retry(crawl_id), **flags)


@click.command("continue")
@click.argument("crawl_id", metavar="ID")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    required=True,
    help="Most pages, those that are done included.",
)
@click.option("--wait", is_flag=True, help="Show the crawl until it ends; then write to --output, if given.")
@report_flags(output_default="nothing is downloaded")
def go_on(crawl_id: str, limit: int, **flags: Any) -> ExitCode:
    """Crawl what the ended crawl ID did not come to and print the id of the crawl that does."""
    with open_client() as client:
        return _started(client, client.go_on(crawl_id, limit), **flags)


@click.command()
@click.argument("crawl_id", metavar="RUN")
@click.argument("against", metavar="[RUN]", required=False)
@click.option(
    "--status",
    type=click.Choice([change.value for change in PageChange]),
    help="Only these pages.  [default: all but the same]",
)
@click.option("--diff/--no-diff", default=True, help="Show what changed in the Markdown.  [default: diff]")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each page.")
def diff(crawl_id: str, against: str | None, status: str | None, diff: bool, as_json: bool) -> ExitCode:
    """Show what has changed in the crawl RUN since the crawl before, or since the second RUN."""
    with open_client() as client:
        for part in client.changes(crawl_id, against=against, status=status, diff=diff):
            if "counts" in part and not as_json:
                click.echo(_summary(part), err=True)
            for page in part["pages"]:
                if as_json:
                    click.echo(json.dumps(page))
                elif status is not None or page["status"] != PageChange.SAME:
                    _show(page)
    return ExitCode.DONE


def _summary(part: dict[str, Any]) -> str:
    counts = ", ".join(f"{number} {change}" for change, number in part["counts"].items())
    return f"{counts}, since {part['against']}" if part["against"] else f"{counts}: there is no crawl before"


def _show(page: dict[str, Any]) -> None:
    why = f"  ({page['reason']})" if "reason" in page else ""
    change = PageChange(page["status"])
    click.echo(f"{click.style(f'{change:<7}', fg=_COLOURS.get(change))}  {page['url']}{why}")
    for line in page.get("diff", "").splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.echo("    " + click.style(printable(line.expandtabs()), fg=colour))
    if page.get("diffCut"):
        click.echo("    …")


def _started(
    client: ApiClient, crawl_id: str, *, wait: bool, output: str | None, as_json: bool, quiet: bool
) -> ExitCode:
    if output is not None and not wait:
        raise click.UsageError("--output needs --wait; or fetch the records later with `crawl results`.")
    if not wait:
        click.echo(json.dumps({"id": crawl_id}) if as_json else crawl_id)
        return ExitCode.DONE
    return wait_and_report(client, crawl_id, output, began=time.monotonic(), as_json=as_json, quiet=quiet)
