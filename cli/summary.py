"""What a crawl came to, in one sentence or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from cli.exits import ExitCode, exit_code
from crawler.model import CrawlStatus, UrlStatus

Callback = TypeVar("Callback", bound=Callable[..., Any])

_ENDINGS = {
    CrawlStatus.RUNNING: "Unfinished",
    CrawlStatus.COMPLETED: "Done",
    CrawlStatus.ERRORED: "Failed",
    CrawlStatus.CANCELLED_BY_USER: "Cancelled",
    CrawlStatus.CANCELLED_DUE_TO_TIMEOUT: "Ended by the time limit",
    CrawlStatus.CANCELLED_DUE_TO_LIMITS: "Ended by a limit of the account",
}


@dataclass(frozen=True, slots=True)
class Summary:
    """A crawl after it was watched. `receipt` counts its records by status, then by reason."""

    crawl_id: str
    url: str
    status: CrawlStatus
    receipt: Mapping[str, Mapping[str, int]]
    #: None where nobody has measured it.
    elapsed_seconds: float | None
    browser_seconds: float
    #: Where the records went: a path, `-` for standard output, None for nowhere.
    output: str | None
    #: Why the whole crawl failed.
    error: str | None = None

    def count(self, status: UrlStatus) -> int:
        """Records with this status."""
        return sum(self.receipt.get(status, {}).values())

    @property
    def exit_code(self) -> ExitCode:
        """How a command that waited for this crawl ends."""
        return exit_code(
            self.status, completed=self.count(UrlStatus.COMPLETED), errored=self.count(UrlStatus.ERRORED)
        )

    def to_json(self) -> str:
        """One line for programs."""
        document: dict[str, Any] = {
            "id": self.crawl_id,
            "url": self.url,
            "status": self.status,
            **{str(status): self.count(status) for status in UrlStatus if status is not UrlStatus.LEASED},
            "reasons": {status: named for status, by in self.receipt.items() if (named := _named(by))},
            "browserSecondsUsed": self.browser_seconds,
            "output": self.output,
        }
        if self.elapsed_seconds is not None:
            document["elapsedSeconds"] = round(self.elapsed_seconds, 3)
        if self.error:
            document["error"] = self.error
        return json.dumps(document)

    def to_sentence(self) -> str:
        """One sentence for people."""
        counts = [f"{_pages(self.count(UrlStatus.COMPLETED))} completed"]
        counts += [
            f"{number} {status}{_why(self.receipt[status])}"
            for status in (UrlStatus.ERRORED, UrlStatus.DISALLOWED, UrlStatus.SKIPPED, UrlStatus.CANCELLED)
            if (number := self.count(status))
        ]
        if number := self.count(UrlStatus.QUEUED):
            counts.append(f"{number} still queued")
        ending = _ENDINGS[self.status]
        if self.elapsed_seconds is not None:
            ending += f" after {_duration(self.elapsed_seconds)}"
        if self.error:
            ending += f" ({self.error})"
        where = f", written to {self.output}" if self.output not in (None, "-") else ""
        return f"{ending}: {', '.join(counts)}{where}."


quiet_flag = click.option("--quiet", "-q", is_flag=True, help="No progress and no summary, only errors.")
summary_flag = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the summary as one line of JSON; on standard error if the records go to standard output.",
)


def report_flags(*, output_default: str) -> Callable[[Callback], Callback]:
    """Give a command the flags that say where results and reports go: `output`, `as_json`, `quiet`."""
    output_flag = click.option(
        "--output",
        "-o",
        metavar="PATH",
        help="A folder of files with an index.jsonl; one file if PATH ends in .jsonl; - is standard output.  "
        f"[default: {output_default}]",
    )

    def declare(callback: Callback) -> Callback:
        return output_flag(summary_flag(quiet_flag(callback)))

    return declare


def report(summary: Summary, *, as_json: bool, quiet: bool) -> None:
    """Print the summary where its reader looks for it."""
    if as_json:
        click.echo(summary.to_json(), err=summary.output == "-")
    elif not quiet:
        click.echo(summary.to_sentence(), err=True)


def _why(reasons: Mapping[str, int]) -> str:
    ordered = sorted(_named(reasons).items(), key=lambda item: -item[1])
    return f" ({', '.join(f'{reason} {number}' for reason, number in ordered)})" if ordered else ""


def _named(reasons: Mapping[str, int]) -> dict[str, int]:
    return {reason: number for reason, number in reasons.items() if reason}


def _pages(number: int) -> str:
    return "1 page" if number == 1 else f"{number} pages"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
