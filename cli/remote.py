"""`crawl submit|status|watch|results|cancel|list`: clients of the API.

Where the API is: CRAWL_API_URL, CRAWL_API_TOKEN, CRAWL_ACCOUNT_ID.
"""

from __future__ import annotations

import json
import time
from itertools import chain
from typing import Any

import click

from cli.api_client import ApiClient, open_client
from cli.arguments import SectionedCommand
from cli.exits import ExitCode
from cli.output import open_output
from cli.progress import open_display
from cli.request import build_body, request_flags
from cli.summary import quiet_flag, report, report_flags, summary_flag
from cli.waiting import summarize, wait_for_end
from crawler.model import CrawlStatus, UrlStatus

_RECORD_STATUSES = [status.value for status in UrlStatus if status is not UrlStatus.LEASED]


@click.command(cls=SectionedCommand)
@click.argument("url")
@click.option("--wait", is_flag=True, help="Show the crawl until it ends; then write to --output, if given.")
@request_flags
@report_flags(output_default="nothing is downloaded")
def submit(url: str, wait: bool, output: str | None, as_json: bool, quiet: bool, **flags: Any) -> ExitCode:
    """Start a crawl from URL on the server and print its id."""
    if output is not None and not wait:
        raise click.UsageError("--output needs --wait; or fetch the records later with `crawl results`.")
    with open_client() as client:
        crawl_id = client.submit(build_body(url, flags))
        if not wait:
            click.echo(json.dumps({"id": crawl_id}) if as_json else crawl_id)
            return ExitCode.DONE
        if not quiet:
            click.echo(f"Crawl {crawl_id}: Ctrl-C ends the waiting, not the crawl.", err=True)
        return wait_and_report(client, crawl_id, output, began=time.monotonic(), as_json=as_json, quiet=quiet)


@click.command()
@click.argument("crawl_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="The server's answer as one line of JSON.")
def status(crawl_id: str, as_json: bool) -> ExitCode:
    """Show the state of the crawl ID."""
    with open_client() as client:
        crawl = client.read(crawl_id)
    if as_json:
        click.echo(json.dumps({name: value for name, value in crawl.items() if name != "records"}))
    else:
        click.echo(
            f"{crawl['status']}: {crawl['finished']} of {crawl['total']} pages done, {crawl['skipped']} skipped"
        )
    return ExitCode.DONE


@click.command()
@click.argument("crawl_id", metavar="ID")
@summary_flag
@quiet_flag
def watch(crawl_id: str, as_json: bool, quiet: bool) -> ExitCode:
    """Show the crawl ID until it ends. Ctrl-C ends the watching, not the crawl."""
    with open_client() as client:
        return wait_and_report(client, crawl_id, None, began=None, as_json=as_json, quiet=quiet)


@click.command()
@click.argument("crawl_id", metavar="ID")
@click.option(
    "--status",
    "wanted",
    type=click.Choice(_RECORD_STATUSES),
    help="Only these records.  [default: all that ended]",
)
@report_flags(output_default="JSON lines on standard output")
def results(crawl_id: str, wanted: str | None, output: str | None, as_json: bool, quiet: bool) -> ExitCode:
    """Download the records of the crawl ID, as far as it is."""
    target = output or "-"
    with open_client() as client:
        _download(client, crawl_id, target, wanted or "")
        summary = summarize(client, crawl_id, elapsed_seconds=None, output=target)
    report(summary, as_json=as_json, quiet=quiet)
    return ExitCode.DONE


@click.command()
@click.argument("crawl_id", metavar="ID")
def cancel(crawl_id: str) -> ExitCode:
    """End the crawl ID. What is finished stays readable."""
    with open_client() as client:
        click.echo(client.cancel(crawl_id), err=True)
    return ExitCode.DONE


@click.command("list")
@click.option("--status", type=click.Choice([status.value for status in CrawlStatus]), help="[default: all]")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most crawls.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each crawl.")
def list_crawls(status: str | None, limit: int, as_json: bool) -> ExitCode:
    """List crawls, newest first."""
    with open_client() as client:
        for crawl in client.crawls(status=status, limit=limit):
            if as_json:
                click.echo(json.dumps(crawl))
            else:
                pages = f"{crawl['finished']}/{crawl['total']}"
                click.echo(
                    f"{crawl['id']}  {crawl['createdAt']}  {crawl['status']:<9}  {pages:>9}  {crawl['url']}"
                )
    return ExitCode.DONE


def wait_and_report(
    client: ApiClient, crawl_id: str, output: str | None, *, began: float | None, as_json: bool, quiet: bool
) -> ExitCode:
    """Wait, download if there is an output, report. `began` is when the crawl began (monotonic), if that is known."""
    with open_display(quiet=quiet) as display:
        wait_for_end(client, crawl_id, display)
    elapsed_seconds = None if began is None else time.monotonic() - began
    if output is not None:
        _download(client, crawl_id, output, "")
    summary = summarize(client, crawl_id, elapsed_seconds=elapsed_seconds, output=output)
    report(summary, as_json=as_json, quiet=quiet)
    return summary.exit_code


def _download(client: ApiClient, crawl_id: str, output: str, wanted: str) -> None:
    records = client.records(crawl_id, status=wanted)
    # Asked before the output is opened: a crawl that does not exist must not empty a file.
    first = next(records, None)
    scheme = first["url"].partition(":")[0] if first else "https"
    with open_output(output, scheme=scheme, continued=False) as opened:
        for record in chain([first] if first else [], records):
            if wanted or record["status"] != UrlStatus.QUEUED:
                opened.write(record)
