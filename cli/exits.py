"""How every command ends: the exit codes that scripts rely on."""

from __future__ import annotations

from enum import IntEnum

from crawler.model import CrawlStatus


class ExitCode(IntEnum):
    """The exit codes of `crawl`."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    #: The crawl came to its end, but every page that it tried ended as errored.
    ONLY_ERRORED = 3
    #: Cancelled by its owner, or ended by a time or account limit.
    CANCELLED = 4
    INTERRUPTED = 130


def exit_code(status: CrawlStatus, *, completed: int, errored: int) -> ExitCode:
    """What a crawl means for the shell. One that is still running has been left alone by an interrupted command."""
    match status:
        case CrawlStatus.COMPLETED:
            return ExitCode.ONLY_ERRORED if errored and not completed else ExitCode.DONE
        case CrawlStatus.CANCELLED_BY_USER | CrawlStatus.CANCELLED_DUE_TO_TIMEOUT:
            return ExitCode.CANCELLED
        case CrawlStatus.CANCELLED_DUE_TO_LIMITS:
            return ExitCode.CANCELLED
        case CrawlStatus.ERRORED:
            return ExitCode.FAILED
        case CrawlStatus.RUNNING:
            return ExitCode.INTERRUPTED
