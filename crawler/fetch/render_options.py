"""How a caller wants the pages of one crawl rendered (contract A.4, the fields of variant R).

Values only, already validated by the request contract; the defaults are Cloudflare's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from crawler.patterns import RequestPattern

WaitUntil = Literal["domcontentloaded", "load", "networkidle0", "networkidle2"]


@dataclass(frozen=True, slots=True)
class Viewport:
    """The visible area in CSS pixels."""

    width: int = 1920
    height: int = 1080
    device_scale_factor: float = 1.0
    is_mobile: bool = False
    has_touch: bool = False


@dataclass(frozen=True, slots=True)
class SelectorWait:
    """Wait for a CSS selector: attached, or `visible`, or `hidden` (absent counts as hidden)."""

    selector: str
    visible: bool = False
    hidden: bool = False
    timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie to set before the first page. Without `domain` and `url` it belongs to the crawl's own origin."""

    name: str
    value: str = field(repr=False)
    domain: str | None = None
    path: str | None = None
    url: str | None = None
    #: Seconds since the epoch; None: a session cookie.
    expires_at: float | None = None
    http_only: bool = False
    secure: bool = False
    same_site: Literal["Strict", "Lax", "None"] | None = None
    partition_key: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password of HTTP authentication (RFC 9110 section 11)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tag:
    """A `script` or `style` to add to each page once it has loaded: from `url`, or `content` itself."""

    content: str | None = None
    url: str | None = None
    #: The attributes `type` and `id`; only scripts have them.
    type: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """Everything that shapes the pages of one crawl. All pages of a crawl share one value."""

    #: `https://host[:port]` of the crawl's start URL. `headers` and `credentials` are sent there and nowhere else.
    own_origin: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    credentials: Credentials | None = None
    cookies: tuple[Cookie, ...] = ()

    wait_until: tuple[WaitUntil, ...] = ("domcontentloaded",)
    goto_timeout: timedelta = timedelta(seconds=30)
    referer: str | None = None
    referrer_policy: str | None = None
    wait_for_selector: SelectorWait | None = None
    #: An extra pause after all other waits.
    wait_for_timeout: timedelta = timedelta()
    #: For waits and tags that have no time-out of their own.
    action_timeout: timedelta = timedelta(seconds=30)
    #: Read the page as far as it came when a wait runs out.
    best_attempt: bool = False

    viewport: Viewport = Viewport()
    javascript: bool = True
    media_type: Literal["screen", "print"] | None = None
    script_tags: tuple[Tag, ...] = ()
    style_tags: tuple[Tag, ...] = ()

    #: Names as in the contract: `image`, `xhr`, … Rejection is applied before allowance; `()` allows all.
    reject_resource_types: frozenset[str] = frozenset()
    allow_resource_types: frozenset[str] = frozenset()
    reject_patterns: tuple[RequestPattern, ...] = ()
    allow_patterns: tuple[RequestPattern, ...] = ()
