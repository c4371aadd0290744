"""Cookies, Basic authentication and extra headers: what a crawl sends besides its own headers, to its seed only."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from crawler import urls
from crawler.options.wire import Open, WebUrl, Whole

MAX_COOKIES = 50
#: Name and value of one cookie together (RFC 6265 section 6.1).
MAX_COOKIE_CHARS = 4_096
MAX_HEADERS = 50
MAX_HEADER_CHARS = 8_192
#: All names and values together.
MAX_HEADERS_CHARS = 32_768

#: RFC 9110 section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
#: RFC 9110 section 5.5, visible ASCII only; no leading or trailing white space.
_FIELD_VALUE = re.compile(r"([!-~]([ \t!-~]*[!-~])?)?")
_IPV4 = re.compile(r"[0-9.]+")
#: Headers that frame a message, route it, say who we are, or that a browser keeps for itself (contract B.9).
_FIXED_HEADERS = frozenset(
    {
        "cf-biso-devtools",
        "cf-brapi-devtools",
        "cf-brapi-request-id",
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "signature",
        "signature-agent",
        "signature-input",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    }
)
_FIXED_PREFIXES = ("proxy-", "sec-", "x-forwarded-")


def _headers(headers: dict[str, str]) -> dict[str, str]:
    if problem := _problem_with(headers):
        raise ValueError(problem)
    return headers


def _problem_with(headers: Mapping[str, str]) -> str:
    if len({name.lower() for name in headers}) != len(headers):
        return "names a header twice"
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADERS_CHARS:
        return f"has more than {MAX_HEADERS_CHARS} characters in all"
    for name, value in headers.items():
        shown = json.dumps(name[:64])
        if not _TOKEN.fullmatch(name):
            return f"has {shown}, which is no header name"
        if name.lower() in _FIXED_HEADERS or name.lower().startswith(_FIXED_PREFIXES):
            return f"cannot set {shown}; leave it out"
        if not _FIELD_VALUE.fullmatch(value):
            return f"has a value of {shown} that is not plain ASCII in one line"
        if len(value) > MAX_HEADER_CHARS:
            return f"has a value of {shown} that is longer than {MAX_HEADER_CHARS} characters"
    return ""


class Authenticate(Open):
    """User name and password for HTTP Basic authentication."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\r\n:]*$")]
    password: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\r\n]*$")]


class Cookie(Open):
    """One cookie for the seed's site."""

    name: Annotated[str, StringConstraints(pattern=r"^[!-:<>-~]+$")]
    value: Annotated[str, StringConstraints(pattern=r"^[\t -:<-~]*$")]
    domain: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$")] | None = None
    path: Annotated[str, StringConstraints(pattern=r"^/[ -:<-~]*$", max_length=1024)] | None = None
    url: WebUrl | None = None
    expires: float | None = Field(None, description="seconds since the epoch; -1: until the crawl ends")
    http_only: bool | None = None
    secure: bool | None = None
    same_site: Literal["Strict", "Lax", "None"] | None = None
    same_party: bool | None = None
    priority: Literal["Low", "Medium", "High"] | None = None
    partition_key: Annotated[str, StringConstraints(max_length=1024)] | None = None
    source_port: Annotated[Whole, Field(ge=-1, le=65_535)] | None = None
    source_scheme: Literal["Unset", "NonSecure", "Secure"] | None = None


def check_cookie(cookie: Cookie, seed_host: str) -> str:
    """What is wrong with a cookie for a crawl that starts at `seed_host`, "" when nothing is.

    A cookie may be for the seed's host, a parent of it that has a dot, or a host below it. Public suffixes that
    have a dot themselves (`co.uk`) are left to the browser, which knows their list and refuses them.
    """
    if len(cookie.name) + len(cookie.value) > MAX_COOKIE_CHARS:
        return f"is longer than {MAX_COOKIE_CHARS} characters"
    if cookie.url is not None and not _is_related(urls.host_of(cookie.url), seed_host):
        return "has a url of another site than the crawl's"
    if cookie.domain is not None:
        domain = cookie.domain.lower().removeprefix(".")
        if not _is_related(domain, seed_host):
            return "has a domain of another site than the crawl's"
    return ""


def _is_related(domain: str, host: str) -> bool:
    if domain == host:
        return True
    if "." not in domain or _IPV4.fullmatch(host) or ":" in host:
        return False
    return host.endswith("." + domain) or domain.endswith("." + host)


Headers = Annotated[dict[str, str], Field(max_length=MAX_HEADERS), AfterValidator(_headers)]
Cookies = Annotated[tuple[Cookie, ...], Field(max_length=MAX_COOKIES)]
