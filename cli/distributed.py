"""`crawl worker` and `crawl scheduler`: the processes behind a broker."""

from __future__ import annotations

import click

from cli.exits import ExitCode
from cli.loading import no_collection
from crawler.errors import ConfigurationError
from crawler.fetch.chromium import require_privileges
from crawler.model import Kind
from crawler.settings import Settings


@click.command()
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    required=True,
    help="Which pages: plain ones, or ones that need a browser.",
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="How many.")
def worker(kind: str, processes: int) -> ExitCode:
    """Crawl, as one of any number of processes on any number of machines, until SIGTERM or Ctrl-C."""
    settings = _load_with_broker("worker")
    if Kind(kind) is Kind.RENDER:
        require_privileges(settings)
    # Here, because a scheduler needs nothing of it.
    with no_collection():
        from workers.app import run_worker  # noqa: PLC0415

    run_worker(settings, Kind(kind), processes)
    return ExitCode.DONE


@click.command()
def scheduler() -> ExitCode:
    """Wake the workers at the right times, until SIGTERM or Ctrl-C. A second scheduler does no harm."""
    settings = _load_with_broker("scheduler")
    with no_collection():
        from workers.scheduler import run_scheduler  # noqa: PLC0415

    run_scheduler(settings)
    return ExitCode.DONE


def _load_with_broker(command: str) -> Settings:
    settings = Settings.load()
    if settings.embedded:
        message = (
            f"CRAWL_BROKER_URL is not set, so there is no {command} to be: set it to redis://… for the API, the "
            "workers and the scheduler alike, or use `crawl serve` alone."
        )
        raise ConfigurationError(message)
    if not settings.database_url.startswith("postgresql"):
        raise ConfigurationError("CRAWL_DATABASE_URL must name a Postgres database where there is a broker.")
    return settings
