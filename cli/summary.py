"""What a crawl came to, in one sentence or as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from crawler.model import CrawlStatus, UrlStatus

Callback = TypeVar("Callback", bound=Callable[..., Any])

_ENDINGS = {
    CrawlStatus.RUNNING: "Still running",
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
    elapsed_seconds: float
    browser_seconds: float
    output: str | None = None
    #: Why the whole crawl failed.
    error: str | None = None

    def count(self, status: UrlStatus) -> int:
        """Records with this status."""
        return sum(self.receipt.get(status, {}).values())

    def to_json(self) -> str:
        """One line for programs."""
        document: dict[str, Any] = {
            "id": self.crawl_id,
            "url": self.url,
            "status": self.status,
            **{str(status): self.count(status) for status in UrlStatus if status is not UrlStatus.LEASED},
            "reasons": {
                status: reasons for status, reasons in self.receipt.items() if any(map(bool, reasons))
            },
            "elapsedSeconds": round(self.elapsed_seconds, 3),
            "browserSecondsUsed": self.browser_seconds,
            "output": self.output,
        }
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
        where = f", written to {self.output}" if self.output else ""
        error = f": {self.error}" if self.error else ""
        ending = f"{_ENDINGS[self.status]}{error}"
        return f"{ending} in {_duration(self.elapsed_seconds)}: {', '.join(counts)}{where}."


def report_flags(callback: Callback) -> Callback:
    """Give a command the flags that say where results and reports go: `output`, `as_json`, `quiet`."""
    for declare in (
        click.option("--quiet", "-q", is_flag=True, help="No progress and no summary, only errors."),
        click.option(
            "--json", "as_json", is_flag=True,
            help="Print the summary as one line of JSON, on standard error if the records go to standard output.",
        ),
        click.option(
            "--output", "-o", metavar="PATH",
            help="A folder of files with an index.jsonl, or one file if PATH ends in .jsonl.  "
            "[default: JSON lines on standard output]",
        ),
    ):  # fmt: skip
        callback = declare(callback)
    return callback


def report(summary: Summary, *, as_json: bool, quiet: bool) -> None:
    """Print the summary where its reader looks for it."""
    if as_json:
        click.echo(summary.to_json(), err=summary.output is None)
    elif not quiet:
        click.echo(summary.to_sentence(), err=True)


def _why(reasons: Mapping[str, int]) -> str:
    named = {reason: number for reason, number in reasons.items() if reason}
    if not named:
        return ""
    ordered = sorted(named.items(), key=lambda item: -item[1])
    return " (" + ", ".join(f"{reason} {number}" for reason, number in ordered) + ")"


def _pages(number: int) -> str:
    return "1 page" if number == 1 else f"{number} pages"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
