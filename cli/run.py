"""`crawl run`: one crawl, here and now, without a server."""

from __future__ import annotations

from typing import Any

import click

from cli.arguments import SectionedCommand
from cli.exits import ExitCode
from cli.loading import no_collection
from cli.request import build_body, request_flags
from cli.summary import report, report_flags
from crawler.model import CrawlStatus


@click.command(cls=SectionedCommand)
@click.argument("url")
@request_flags
@report_flags(output_default="JSON lines on standard output")
def run(url: str, output: str | None, as_json: bool, quiet: bool, **flags: Any) -> ExitCode:
    """Crawl from URL, here and now, without a server.

    The host of URL may be anywhere, also on this machine or in a private network; all others must be public.
    Ctrl-C stops and keeps what is done; the same command then goes on from there.
    """
    # The whole crawler: `crawl run --help` need not wait for it.
    with no_collection():
        from cli.embedded import crawl_here  # noqa: PLC0415

    summary = crawl_here(build_body(url, flags), output or "-", quiet=quiet)
    report(summary, as_json=as_json, quiet=quiet)
    if summary.status is CrawlStatus.RUNNING:
        click.echo("Stopped. The same command goes on from here.", err=True)
    return summary.exit_code
