"""The command `crawl`: the list of its subcommands, and the one place where failures become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module

import click

from cli.exits import ExitCode
from cli.loading import no_collection
from crawler.errors import CrawlError, InvalidRequest

#: By section: the name, where the command is (module and attribute), and what it does. Modules are imported when
#: they are needed, or `crawl --help` would load the whole crawler.
COMMANDS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "Crawl without a server": (("run", "cli.run:run", "Crawl a site, here and now."),),
    "Run a server": (
        ("serve", "cli.serve:serve", "Serve the API, and crawl in the same process if there is no broker."),
        ("worker", "cli.distributed:worker", "Crawl, as one of many processes."),
        ("scheduler", "cli.distributed:scheduler", "Wake the workers at the right times."),
        ("migrate", "cli.migrate:migrate", "Bring the database to the newest schema."),
        ("token", "cli.tokens:token", "Create, list and revoke API tokens."),
        ("secrets", "cli.secrets:secrets", "Look after the keys of secrets."),
        ("doctor", "cli.doctor:doctor", "Check that everything needed is there and works."),
    ),
    "Use a server": (
        ("submit", "cli.remote:submit", "Start a crawl."),
        ("status", "cli.remote:status", "Show a crawl."),
        ("watch", "cli.remote:watch", "Show a crawl until it ends."),
        ("results", "cli.remote:results", "Download what a crawl has brought."),
        ("cancel", "cli.remote:cancel", "End a crawl."),
        ("retry", "cli.runs:retry", "Crawl the errored pages of a crawl again."),
        ("continue", "cli.runs:go_on", "Crawl what a crawl did not come to."),
        ("diff", "cli.runs:diff", "Show what has changed since the crawl before."),
        ("list", "cli.remote:list_crawls", "List crawls."),
        ("schedule", "cli.schedule:schedule", "Crawl again and again."),
    ),
}


class CommandList(click.Group):
    """The subcommands of COMMANDS, by section."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return [name for section in COMMANDS.values() for name, _, _ in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        for section in COMMANDS.values():
            for name, place, _ in section:
                if name == cmd_name:
                    module, _, attribute = place.partition(":")
                    with no_collection():
                        command = getattr(import_module(module), attribute)
                    assert isinstance(command, click.Command)
                    return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for heading, section in COMMANDS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, text) for name, _, text in section])


@click.group(
    cls=CommandList, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="crawl")
def crawl() -> None:
    """Crawl sites, or serve crawls to others through an API.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no page but errored ones, 4 cancelled or timed out,
    130 interrupted. Data goes to standard output, all else to standard error.
    """


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(_run())


def _run() -> int:
    try:
        return int(crawl.main(prog_name="crawl", standalone_mode=False) or ExitCode.DONE)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except InvalidRequest as error:
        return _fail(error.message, ExitCode.WRONG_USAGE)
    except CrawlError as error:
        return _fail(error.message)
    except BrokenPipeError:
        # The reader has left. Python would complain when it flushes what is still to be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _fail(message: str, code: ExitCode = ExitCode.FAILED) -> int:
    click.echo(f"crawl: {message}", err=True)
    return code
