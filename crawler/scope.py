"""Which URLs belong to a crawl (contract B.5, B.6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from crawler import urls
from crawler.patterns import Pattern, any_of
from crawler.urls import Url


@dataclass(frozen=True, slots=True)
class Scope:
    """The rules of one crawl. Build it once per crawl: the patterns are joined into one matcher here.

    - By default a URL must have the seed's origin: scheme, host and port.
    - `subdomains` adds hosts that end in `.` + the seed's host, with the seed's scheme and port. A parent or a
      sibling (`www.` beside no `www.`) is no subdomain.
    - `external` adds every host and makes `subdomains` meaningless.
    - Then the patterns: kept if some `include` matches or there is none, and no `exclude` matches.
    - The seed itself is always in scope; without that an include such as `https://e.com/docs/**` would lose
      its own start page `https://e.com/docs`.
    """

    seed: Url
    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    external: bool = False
    subdomains: bool = False
    _included: Callable[[str], bool] = field(init=False, repr=False, compare=False)
    _excluded: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_included", any_of(self.include))
        object.__setattr__(self, "_excluded", any_of(self.exclude))

    def decide(self, url: str) -> str | None:
        """None if this serialised URL is in scope, else why not.

        The reason is one of `external`, `subdomain`, `excluded`, `not_included`, `trap`; the first that applies.
        """
        if url == self.seed.href:
            return None
        if not self.external and not url.startswith(self.seed.origin + "/"):
            reason = self._foreign(url)
            if reason is not None:
                return reason
        if self._excluded(url):
            return "excluded"
        if self.include and not self._included(url):
            return "not_included"
        return "trap" if urls.is_trap(url) else None

    def _foreign(self, url: str) -> str | None:
        """Judge a URL of another origin than the seed's."""
        if not urls.host_of(url).endswith("." + self.seed.host):
            return "external"
        # The origin may differ from the seed's in nothing but labels in front of the host.
        scheme, _, host_and_port = self.seed.origin.partition("://")
        origin = urls.origin_of(url)
        wanted = origin.startswith(f"{scheme}://") and origin.endswith(f".{host_and_port}")
        return None if self.subdomains and wanted else "subdomain"
