"""What the pages of one crawl may request, as their caller asked for it (contract A.4). Rules only, no I/O.

This is policy, not security: what the browser can reach at all is decided in the egress proxy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.fetch.render_options import Credentials, RenderOptions
from crawler.patterns import RequestPattern

#: Resource types: the contract's names, then those of the DevTools protocol: Network.ResourceType, and the coarser
#: one by which the Fetch domain selects requests (WebSockets it does not know).
_RESOURCE_TYPES: Mapping[str, tuple[str, str]] = {
    "document": ("Document", "Document"),
    "stylesheet": ("Stylesheet", "Stylesheet"),
    "image": ("Image", "Image"),
    "media": ("Media", "Media"),
    "font": ("Font", "Font"),
    "script": ("Script", "Script"),
    "texttrack": ("TextTrack", "Media"),
    "xhr": ("XHR", "XHR"),
    "fetch": ("Fetch", "XHR"),
    "prefetch": ("Prefetch", "Fetch"),
    "eventsource": ("EventSource", "XHR"),
    "manifest": ("Manifest", "Other"),
    "signedexchange": ("SignedExchange", "Other"),
    "ping": ("Ping", "Ping"),
    "cspviolationreport": ("CSPViolationReport", "CSPViolationReport"),
    "preflight": ("Preflight", "Other"),
    "other": ("Other", "Other"),
    "websocket": ("WebSocket", ""),
}

_COARSE = [coarse for _, coarse in _RESOURCE_TYPES.values()]
#: Coarser types that stand for one finer type alone.
EXACT_TYPES = frozenset(coarse for coarse in _COARSE if _COARSE.count(coarse) == 1)


@dataclass(frozen=True, slots=True)
class RequestRules:
    """Rules for the requests of a crawl's pages. The page's own document is always allowed."""

    own_origin: str
    headers: Mapping[str, str]
    credentials: Credentials | None
    rejected_types: frozenset[str]
    reject_patterns: Sequence[RequestPattern]
    allow_patterns: Sequence[RequestPattern]

    @classmethod
    def of(cls, options: RenderOptions) -> RequestRules:
        """The rules in these options, with resource types under their protocol names."""
        rejected = set(options.reject_resource_types)
        if options.allow_resource_types:
            rejected |= _RESOURCE_TYPES.keys() - options.allow_resource_types
        return cls(
            own_origin=options.own_origin,
            headers=options.headers,
            credentials=options.credentials,
            rejected_types=frozenset(_RESOURCE_TYPES[name][0] for name in rejected),
            reject_patterns=options.reject_patterns,
            allow_patterns=options.allow_patterns,
        )

    @property
    def interceptions(self) -> list[dict[str, str]]:
        """Requests to pause (Fetch.enable): each costs a round trip, so documents and no more than needed."""
        if self.reject_patterns or self.allow_patterns:
            return [{"urlPattern": "*"}]
        coarse = {select for name, select in _RESOURCE_TYPES.values() if name in self.rejected_types}
        patterns = [{"resourceType": name} for name in sorted({"Document", *coarse} - {""})]
        if self.headers and self.own_origin:
            patterns.append({"urlPattern": f"{self.own_origin}/*"})
        return patterns

    @property
    def refuses_web_sockets(self) -> bool:
        """Whether pages may open no WebSocket; these cannot be paused."""
        return "WebSocket" in self.rejected_types

    def refuse(self, resource_type: str, url: str) -> bool:
        """Whether a sub-request is refused. Rejection is applied before allowance."""
        if resource_type in self.rejected_types:
            return True
        if any(pattern.matches(url) for pattern in self.reject_patterns):
            return True
        return bool(self.allow_patterns) and not any(pattern.matches(url) for pattern in self.allow_patterns)

    def headers_for(self, url: str, sent: Mapping[str, Any]) -> list[dict[str, str]] | None:
        """The request's headers with the caller's laid over them, or None to leave them alone.

        Only requests to the crawl's own origin get them: they often carry a secret.
        """
        if not (self.headers and self.own_origin and url.startswith(f"{self.own_origin}/")):
            return None
        ours = {name.lower() for name in self.headers}
        merged = {name: str(value) for name, value in sent.items() if name.lower() not in ours}
        return [{"name": name, "value": value} for name, value in {**merged, **self.headers}.items()]

    def credentials_for(self, challenge: Mapping[str, Any]) -> Credentials | None:
        """What to answer an authentication challenge with: only the crawl's own origin gets an answer."""
        if challenge.get("source") == "Proxy" or challenge.get("origin") != self.own_origin:
            return None
        return self.credentials
