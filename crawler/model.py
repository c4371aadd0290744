"""The values that cross module borders. All are frozen; change one with `dataclasses.replace`.

Words are those of `docs/design.md`: a *crawl* has *records*, one per URL; a *lease* is the permission to fetch
one URL; a fetcher brings a `Response` or a `Failure`; the page pipeline ends in one `Outcome`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Not at run time: the command line shows its help without loading pydantic.
    from pydantic import JsonValue


_ACCOUNT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: The rule of `is_account_id`, for people.
ACCOUNT_ID_RULE = "An account is named by up to 64 letters, digits, dots, dashes and underscores."


def is_account_id(text: str) -> bool:
    """Whether this can name an account."""
    return _ACCOUNT_ID.fullmatch(text) is not None


class CrawlStatus(StrEnum):
    """State of a crawl, in Cloudflare's words (contract A.6). Every state but RUNNING is terminal."""

    RUNNING = "running"
    COMPLETED = "completed"
    ERRORED = "errored"
    CANCELLED_BY_USER = "cancelled_by_user"
    CANCELLED_DUE_TO_TIMEOUT = "cancelled_due_to_timeout"
    CANCELLED_DUE_TO_LIMITS = "cancelled_due_to_limits"


class UrlStatus(StrEnum):
    """State of one URL of a crawl (contract A.7). LEASED is ours and is shown as `queued`."""

    QUEUED = "queued"
    LEASED = "leased"
    COMPLETED = "completed"
    ERRORED = "errored"
    DISALLOWED = "disallowed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def has_reason(self) -> bool:
        """Whether the reason is the owner's to read. With another status it says why an attempt came to nothing."""
        return self in (UrlStatus.ERRORED, UrlStatus.DISALLOWED, UrlStatus.SKIPPED)


class Role(StrEnum):
    """What a frontier row is. Only pages are records; the others are how a crawl finds its pages."""

    PAGE = "page"
    SITEMAP = "sitemap"
    #: Read robots.txt of the seed's origin and name the sitemaps. One per crawl that uses sitemaps.
    DISCOVERY = "discovery"


class Kind(StrEnum):
    """Which pump a URL needs; also the name of its Celery queue (`crawl.static`, `crawl.render`)."""

    STATIC = "static"
    RENDER = "render"


class ErrorCode(StrEnum):
    """Why a URL ended as `errored`. One public text per code (`PUBLIC_TEXT`), so that answers are no scanner."""

    BLOCKED_DESTINATION = "blocked_destination"
    DNS_FAILURE = "dns_failure"
    CONNECT_FAILED = "connect_failed"
    TLS_ERROR = "tls_error"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BAD_REDIRECT = "bad_redirect"
    DECODE_ERROR = "decode_error"
    UNSUPPORTED_CONTENT = "unsupported_content"
    DOWNLOAD = "download"
    BAD_DOCUMENT = "bad_document"
    DOM_TOO_LARGE = "dom_too_large"
    BAD_SELECTOR = "bad_selector"
    BROWSER_CRASHED = "browser_crashed"
    WORKER_LOST = "worker_lost"
    PROTOCOL_ERROR = "protocol_error"
    HTTP_ERROR = "http_error"


PUBLIC_TEXT: Mapping[ErrorCode, str] = {
    ErrorCode.BLOCKED_DESTINATION: "The address of this URL may not be fetched.",
    ErrorCode.DNS_FAILURE: "The host name could not be resolved.",
    ErrorCode.CONNECT_FAILED: "The host did not accept a connection.",
    ErrorCode.TLS_ERROR: "The TLS handshake with the host failed.",
    ErrorCode.TIMEOUT: "The page did not arrive in time.",
    ErrorCode.TOO_LARGE: "The page is larger than the limit.",
    ErrorCode.TOO_MANY_REDIRECTS: "The page redirects too often.",
    ErrorCode.BAD_REDIRECT: "The page redirects to something that is not an http(s) URL.",
    ErrorCode.DECODE_ERROR: "The body does not match its Content-Encoding.",
    ErrorCode.UNSUPPORTED_CONTENT: "The content type is not one that is crawled.",
    ErrorCode.DOWNLOAD: "The URL is a file download, not a page.",
    ErrorCode.BAD_DOCUMENT: "The document is damaged, encrypted, or not what it says it is.",
    ErrorCode.DOM_TOO_LARGE: "The document has more nodes than the limit.",
    ErrorCode.BAD_SELECTOR: "The selector of waitForSelector is not valid.",
    ErrorCode.BROWSER_CRASHED: "The browser crashed on this page.",
    ErrorCode.WORKER_LOST: "The worker was lost on every attempt at this page.",
    ErrorCode.PROTOCOL_ERROR: "The answer of the host was not valid.",
    ErrorCode.HTTP_ERROR: "The host answered with an HTTP error status.",
}


@dataclass(frozen=True, slots=True)
class Link:
    """One outgoing link: an absolute, serialised http(s) URL without fragment, in document order."""

    url: str


@dataclass(frozen=True, slots=True)
class Response:
    """What a fetcher brought. `body` is decoded from its Content-Encoding, not from its charset.

    `url` is the final URL after `redirects`. Header names are lower case; repeated fields are joined with ", ".
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    redirects: tuple[str, ...] = ()
    #: Bytes as they came over the wire, and seconds from dial to the last byte.
    wire_bytes: int = 0
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A fetch that brought nothing. `detail` is for logs only, it may name addresses; never send it out."""

    code: ErrorCode
    detail: str = ""
    #: Worth another attempt: the fault may be passing (a reset, a time-out, a lost browser).
    retryable: bool = False
    #: Other pages were in the browser that is lost, and nobody knows which of them brought it down.
    is_shared: bool = False
    #: What came instead of a page, where that is the fault: a type without parameters.
    media_type: str = ""
    #: The redirect's target that failed; empty: the URL that was asked for.
    url: str = ""
    #: The time that a tab was open for it.
    browser_seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A fetch that our own rules stopped on the way, for example a redirect that robots.txt disallows."""

    status: UrlStatus
    reason: str
    #: The time that a tab was open for it.
    browser_seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page after its scripts ran. `html` is the serialised DOM; `browser_seconds` is the time it was open."""

    response: Response
    #: What its links are relative to, unless it has a base: scripts may have given it another address.
    url: str
    html: str
    title: str
    links: tuple[str, ...]
    browser_seconds: float


@dataclass(frozen=True, slots=True)
class Lease:
    """The permission to fetch one URL until `leased_until_at`. Without `token` nothing is written."""

    url_id: int
    crawl_id: str
    seq: int
    url: str
    role: Role
    kind: Kind
    depth: int
    attempt: int
    token: str
    host: str
    host_id: int
    #: Monotonic seconds on this machine: the politeness grant was made at this moment.
    granted_monotonic: float
    #: Milliseconds since the epoch by the database's clock; the host's next time as this lease set it.
    next_fetch_at: int
    interval_ms: int
    #: As in `Found`.
    lastmod_at: int | None = None
    #: How often in a row the host has failed by now, see `crawler.politeness`.
    host_failures: int = 0
    #: Why the host is not asked at all for the time being; None: it is.
    host_down: ErrorCode | None = None


@dataclass(frozen=True, slots=True)
class HostSign:
    """What a request said about its host: that it is there, or why it seems to be away or overloaded."""

    failure: ErrorCode | None = None
    #: How long the host asked to be left alone (Retry-After); None: it did not say.
    wait_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A URL found on a page or in a sitemap: to be queued, or recorded as skipped for `skip_reason`."""

    url: str
    key: str
    host: str
    skip_reason: str = ""
    #: When the page changed by the sitemap that names it, milliseconds since the epoch.
    lastmod_at: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one lease ended. `status` is terminal, or QUEUED to hand the URL back for another attempt.

    `reason` is the machine-readable rule that decided (an `ErrorCode`, `robots`, `external`, …).
    """

    lease: Lease
    status: UrlStatus
    reason: str = ""
    http_status: int | None = None
    final_url: str | None = None
    title: str | None = None
    last_modified: str | None = None
    html: str | None = None
    markdown: str | None = None
    #: The answer to `jsonOptions`, as JSON text.
    json: str | None = None
    #: Members of the record beyond Cloudflare's, by their name on the wire.
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    browser_seconds: float = 0.0
    etag: str | None = None
    #: Of the normalised main text, at most 32 characters; None: the page has none.
    content_hash: str | None = None
    #: Every link of the page, whatever the crawl does with them; kept for later crawls of the page.
    links: tuple[str, ...] = ()
    #: The page may be used by other crawls that come to this key; None: it may not.
    reuse_key: str | None = None
    #: How many crawls in a row have believed, without a look, that the page is as it was; see `crawler.recrawl`.
    confirmed: int = 0
    #: For how long the page had been seen without a change when its origin was last asked, milliseconds; None: it is
    #: asked in every crawl.
    steady_ms: int | None = None
    #: When that was, milliseconds since the epoch; None: just now.
    asked_at: int | None = None
    #: URLs to admit to the frontier, in document order (pages) or by priority (sitemaps).
    found: tuple[Found, ...] = ()
    #: Sitemaps to read (only from roles DISCOVERY and SITEMAP).
    sitemaps: tuple[Found, ...] = ()
    #: For QUEUED: seconds until the next attempt, and whether this attempt does not count.
    retry_after_seconds: float = 0.0
    give_attempt_back: bool = False
    #: Nothing was sent to the host: its turn is free for another URL.
    unused_turn: bool = False
    #: None: the host was not asked, or what came says nothing about it.
    host_sign: HostSign | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A completed page as an earlier crawl has it, with all that another crawl needs in its place."""

    http_status: int
    final_url: str
    title: str | None
    last_modified: str | None
    etag: str | None
    html: str | None
    markdown: str | None
    json: str | None
    details: Mapping[str, JsonValue]
    content_hash: str | None
    links: tuple[str, ...]
    reuse_key: str | None
    confirmed: int
    #: As in `Outcome`; None where the page is to be asked in every crawl.
    steady_ms: int | None
    asked_at: int | None
    #: Milliseconds since it was fetched or last confirmed. Negative where the database's clock went back.
    age_ms: int


@dataclass(frozen=True, slots=True)
class CrawlView:
    """A crawl as its owner sees it. Times are milliseconds since the epoch."""

    id: str
    status: CrawlStatus
    seed_url: str
    browser_seconds: float
    queued: int
    completed: int
    errored: int
    disallowed: int
    skipped: int
    cancelled: int
    created_at: int
    ended_at: int | None
    error: str | None
    #: The crawl that this one continues or retries.
    parent_id: str | None = None

    @property
    def total(self) -> int:
        """URLs admitted so far; skipped ones do not count (contract A.8)."""
        return self.queued + self.finished + self.cancelled

    @property
    def finished(self) -> int:
        """Of those, the ones that are done."""
        return self.completed + self.errored + self.disallowed


@dataclass(frozen=True, slots=True)
class Record:
    """One URL of a crawl as its owner sees it. `status` is never LEASED here; bodies only where asked for."""

    seq: int
    url: str
    status: UrlStatus
    reason: str
    http_status: int | None
    final_url: str | None
    title: str | None
    last_modified: str | None
    html: str | None
    markdown: str | None
    #: JSON text.
    json: str | None
    details: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records in discovery order; `next_cursor` is None on the last page.

    A record is made when it is asked for: until then its texts, `text_bytes` together, are held compressed. Who goes
    through them one by one holds `held_bytes` meanwhile.
    """

    crawl: CrawlView
    records: Sequence[Record]
    next_cursor: int | None
    text_bytes: int = 0
    held_bytes: int = 0
