"""URLs as the browser reads them (WHATWG URL), so that the host we judge is the host Chromium would dial.

`parse` is for URLs that people submit: it refuses with a reason. `resolve` is for links found in pages: it drops
what is no http(s) page without a word, and it is the hottest function of the crawler. Everything after the two
works on their output only: absolute, serialised, without fragment and credentials.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b

import ada_url

_DEFAULT_PORTS = {"http": 80, "https": 443}

#: Controls would be dropped silently by the URL parser, direction marks make a URL read as another one, and a
#: lone surrogate cannot be stored.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

#: DNS knows no longer ones (RFC 1035 2.3.4); the URL parser does not count.
_MAX_HOST_CHARS = 253
_MAX_LABEL_CHARS = 63

#: A path deeper than this, or one that says the same word more often, comes from links that grow by themselves.
_MAX_SEGMENTS = 64
_MAX_SEGMENT_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Url:
    """A submitted URL after `parse`."""

    #: Serialised, without fragment.
    href: str
    #: `https://host` or `https://host:port`; the default port is left out.
    origin: str
    scheme: str
    #: As `host_of` gives it.
    host: str
    #: The port in force, default ones included.
    port: int
    #: Everything after the origin, `/` at least.
    path_query: str


@dataclass(frozen=True, slots=True)
class BadUrl:
    """Why a submitted URL is refused and what to write instead; may be shown to the caller."""

    message: str


def parse(text: str, *, max_chars: int) -> Url | BadUrl:
    """Read a URL that a person or program submitted.

    Accepts http and https without credentials, up to `max_chars` characters before and after serialising.
    A scheme is required; a fragment is dropped.
    """
    if len(text) > max_chars:
        return BadUrl(f"The URL has {len(text)} characters; at most {max_chars} are allowed.")
    if UNPRINTABLE.search(text):
        return BadUrl("The URL contains control or direction characters; percent-encode or remove them.")
    try:
        found = ada_url.URL(text)
    except ValueError:
        return BadUrl("This is not an absolute URL; write it as https://example.com/path.")
    scheme = found.protocol.removesuffix(":")
    if scheme not in _DEFAULT_PORTS:
        return BadUrl(f"The scheme {scheme[:32]}: cannot be crawled; use http:// or https://.")
    if found.username or found.password:
        return BadUrl("The URL contains a user name or password; pass them in `authenticate` instead.")
    href = found.href.partition("#")[0]
    if len(href) > max_chars:
        return BadUrl(f"The URL has {len(href)} characters when encoded; at most {max_chars} are allowed.")
    host = host_of(href)
    if not _is_decodable(host):
        return BadUrl("The host name has an xn-- label that stands for no international name.")
    if len(host) > _MAX_HOST_CHARS or any(len(label) > _MAX_LABEL_CHARS for label in host.split(".")):
        return BadUrl("The host name is longer than DNS allows; check it for a missing slash.")
    origin = origin_of(href)
    port = int(found.port) if found.port else _DEFAULT_PORTS[scheme]
    return Url(href, origin, scheme, host, port, href[len(origin) :])


def resolve(base: str, reference: str, *, max_chars: int) -> str | None:
    """Turn a link of a page into a serialised URL without fragment and without credentials.

    `base` is the page's URL or what its `<base>` makes of it. None when the link is invalid, not http(s), or
    longer than `max_chars` as written or as serialised.
    """
    if len(reference) > max_chars:
        return None
    try:
        href = ada_url.join_url(base, reference)
    except ValueError:
        clean = _scalar_values(reference)
        return None if clean == reference else resolve(base, clean, max_chars=max_chars)
    if not href.startswith(("https://", "http://")):
        return None
    href = href.partition("#")[0]
    # A serialised http(s) URL always has a slash after its host, and "@" in the host part only after credentials.
    host_start = 8 if href.startswith("https") else 7
    path_start = href.index("/", host_start)
    at = href.find("@", host_start, path_start)
    if at != -1:
        href = href[:host_start] + href[at + 1 :]
    if href.find("xn--", host_start, path_start) != -1 and not _is_decodable(host_of(href)):
        return None
    return href if len(href) <= max_chars else None


def _is_decodable(host: str) -> bool:
    """Whether every `xn--` label stands for a name (WHATWG domain to ASCII, UTS 46).

    ada accepts any host of ASCII as it is; a label that it cannot decode, it leaves as it is.
    """
    if "xn--" not in host:
        return True
    return not any(label.startswith("xn--") for label in ada_url.idna_to_unicode(host).split("."))


def _scalar_values(text: str) -> str:
    """Replace lone surrogates as WHATWG does before it parses; links read out of a browser may carry them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def key(url: str) -> str:
    """Identity of a URL in the frontier: 128 bits of BLAKE2b as 22 base64url characters."""
    return urlsafe_b64encode(blake2b(url.encode(), digest_size=16).digest())[:22].decode()


def origin_of(url: str) -> str:
    """`https://host[:port]` of a serialised URL."""
    return url[: url.index("/", 8)]


def host_of(url: str) -> str:
    """The host of a serialised URL: no brackets around IPv6, and no trailing dot.

    `site.test.` and `site.test` are one machine to DNS; as two hosts they would be crawled at twice the pace.
    """
    authority = origin_of(url).partition("://")[2]
    if authority.startswith("["):
        return authority[1 : authority.index("]")]
    return authority.partition(":")[0].removesuffix(".")


def port_of(url: str) -> int:
    """The port in force of a serialised URL."""
    scheme, _, authority = origin_of(url).partition("://")
    port = authority.rpartition("]")[2].partition(":")[2]
    return int(port) if port else _DEFAULT_PORTS[scheme]


def is_trap(url: str) -> bool:
    """Whether the path looks endless: more than 64 segments, or one segment more than three times."""
    segments = url.partition("?")[0].split("/")[3:]
    if len(segments) > _MAX_SEGMENTS:
        return True
    # Only a path with that many surplus segments can hold one of them four times.
    if len(segments) - len(set(segments)) < _MAX_SEGMENT_REPEATS:
        return False
    return any(segments.count(segment) > _MAX_SEGMENT_REPEATS for segment in set(segments))
