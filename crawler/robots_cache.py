"""robots.txt of each origin: from memory, from the database, or asked for now (RFC 9309 2.3 and 2.4).

One worker fetches a file, the others wait for it. What the network cannot give is not the same as "no rules": an
origin that answers with server errors is held, asked again, and then disallowed; one that cannot be reached at all
fails its pages with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from crawler import robots
from crawler.fetch.http import BeforeSend, HttpFetcher
from crawler.model import ErrorCode, Failure, Refusal, Response, UrlStatus
from crawler.politeness import interval
from crawler.recent import Recent
from crawler.robots import Robots
from crawler.settings import Settings
from crawler.store.robots import Busy, Claim, RobotsFiles, RobotsState, StoredRobots

#: Origins remembered per process.
_CACHED_ORIGINS = 2_000
_FETCH_SECONDS = 10.0
_MAX_REDIRECTS = 5
_TRIES = 3
#: How long an origin stays disallowed before it is asked again, and a cached file is used while it cannot be.
_UNREACHABLE_SECONDS = 600.0
_STALE_SECONDS = 300.0
#: A file this old is not used any more, however long the origin fails (RFC 9309 2.4).
_MAX_AGE_SECONDS = 86_400.0

#: Others may have the host's next turns before a lease that was handed back comes again.
_TURNS_KEPT = 10

#: No file means no rules.
_NO_RULES = b""
#: These end a page as they end its robots.txt: there is nobody to ask.
_DEAD = frozenset(
    {ErrorCode.BLOCKED_DESTINATION, ErrorCode.DNS_FAILURE, ErrorCode.CONNECT_FAILED, ErrorCode.TLS_ERROR}
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules in force. `fetched`: the host has just been asked for them, which was its turn. `delay_ms`: what lies
    between two requests by these rules, None if they say nothing of it."""

    robots: Robots
    fetched: bool = False
    delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Not known yet: hand the URL back and come again after `seconds`. `fetched` as in Rules."""

    seconds: float
    fetched: bool = False


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The rules cannot be had, so nothing may be fetched: the page ends like this."""

    verdict: Failure | Refusal
    fetched: bool = False


class RobotsCache:
    """Rules by origin (`https://host:port`) for our own token."""

    def __init__(
        self,
        files: RobotsFiles,
        fetcher: HttpFetcher,
        settings: Settings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._fetcher = fetcher
        self._settings = settings
        self._monotonic = monotonic
        self._memory = Recent[str, tuple[float, Rules | Unreachable]](_CACHED_ORIGINS)

    def known(self, origin: str) -> Rules | Unreachable | None:
        """What memory has; no I/O."""
        entry = self._memory.get(origin)
        if entry is None or entry[0] <= self._monotonic():
            return None
        return entry[1]

    async def stored(self, origin: str) -> Rules | Unreachable | None:
        """What memory or the database has; no request leaves."""
        known = self.known(origin)
        if known is not None:
            return known
        stored = await self._files.get(origin)
        return None if stored is None else self._remember(origin, stored)

    def outlasts(self, milliseconds: int) -> bool:
        """Whether rules that were fetched now are sure to be known at the host's next turn, so much later or more."""
        return self._settings.robots_ttl_seconds * 1000 > _TURNS_KEPT * milliseconds

    async def get(
        self, origin: str, host_id: int, turn: BeforeSend | None = None
    ) -> Rules | Hold | Unreachable:
        """The rules of an origin, fetched at `turn` if need be; None: a request to the host may start now."""
        known = self.known(origin)
        if known is not None:
            return known
        match await self._files.get_or_claim(origin, claim_seconds=_FETCH_SECONDS + 5):
            case StoredRobots() as stored:
                return self._remember(origin, stored)
            case Busy(seconds):
                return Hold(seconds)
            case Claim(previous):
                return await self._fetch(origin, host_id, previous, turn)
            case other:
                assert_never(other)

    async def _fetch(
        self, origin: str, host_id: int, previous: StoredRobots | None, turn: BeforeSend | None
    ) -> Rules | Hold | Unreachable:
        answer = await self._fetcher.fetch(
            f"{origin}/robots.txt",
            max_bytes=self._settings.max_robots_bytes,
            timeout_seconds=_FETCH_SECONDS,
            max_redirects=_MAX_REDIRECTS,
            truncate=True,
            before_send=turn,
        )
        body, state, reason, ttl = _NO_RULES, RobotsState.NONE, "", float(self._settings.robots_ttl_seconds)
        failures, keeps_age, hold_seconds = 0, False, 0.0
        match answer:
            case Response(status=status) if 200 <= status < 300:
                body, state = self._whole_lines(answer.body), RobotsState.FOUND
            case Response(status=status) if status < 500 and status != 429:
                pass  # "unavailable": there are no rules (RFC 9309 2.3.1.3)
            case Failure(code=ErrorCode.TOO_MANY_REDIRECTS):
                pass
            case _:
                reason = answer.code if isinstance(answer, Failure) else ErrorCode.HTTP_ERROR
                failures = 1 + (previous.failures if previous is not None else 0)
                if _usable(previous):
                    assert previous is not None
                    body, state, keeps_age, ttl = previous.body, previous.state, True, _STALE_SECONDS
                else:
                    state = RobotsState.UNREACHABLE
                    again = failures < _TRIES and (not isinstance(answer, Failure) or answer.retryable)
                    hold_seconds = float(2 ** (failures - 1)) if again else 0.0
                    ttl = hold_seconds or _UNREACHABLE_SECONDS
                    failures = failures if again else 0
        stored = StoredRobots(state, body, reason, failures, 0.0, ttl)
        result = self._judge(stored)
        # While the origin is held its row has run out already, so that the next try is nobody's but its claimer's.
        await self._files.store(
            origin,
            host_id,
            state,
            body=body,
            reason=reason,
            failures=failures,
            ttl_seconds=0.0 if hold_seconds else ttl,
            keeps_age=keeps_age,
            crawl_delay_ms=result.delay_ms if isinstance(result, Rules) else None,
        )
        if hold_seconds:
            return Hold(hold_seconds, fetched=True)
        self._keep(origin, stored, result)
        return replace(result, fetched=True)

    def _remember(self, origin: str, stored: StoredRobots) -> Rules | Unreachable:
        result = self._judge(stored)
        self._keep(origin, stored, result)
        return result

    def _keep(self, origin: str, stored: StoredRobots, result: Rules | Unreachable) -> None:
        self._memory.put(origin, (self._monotonic() + stored.expires_in_seconds, result))

    def _judge(self, stored: StoredRobots) -> Rules | Unreachable:
        """What a stored file says."""
        if stored.state is RobotsState.UNREACHABLE:
            code = ErrorCode(stored.reason)
            refused = Refusal(UrlStatus.DISALLOWED, "robots_unreachable")
            return Unreachable(Failure(code, "robots.txt") if code in _DEAD else refused)
        found = robots.parse(stored.body, token=self._settings.robots_token)
        return Rules(found, delay_ms=self._delay_ms(found))

    def _whole_lines(self, body: bytes) -> bytes:
        """Half a line where the file was cut off could be read as another rule."""
        return body if len(body) < self._settings.max_robots_bytes else body[: body.rfind(b"\n") + 1]

    def _delay_ms(self, parsed: Robots) -> int | None:
        if parsed.crawl_delay is None:
            return None
        settings = self._settings
        delay = interval(parsed.crawl_delay, settings.default_delay, settings.max_crawl_delay)
        return round(delay.total_seconds() * 1000)


def _usable(previous: StoredRobots | None) -> bool:
    return (
        previous is not None
        and previous.state is not RobotsState.UNREACHABLE
        and previous.age_seconds < _MAX_AGE_SECONDS
    )
