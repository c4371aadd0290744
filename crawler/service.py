"""The use cases of an API client: start a crawl, read it, cancel it, list crawls."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import time
from collections.abc import Mapping
from uuid import UUID

from crawler import urls
from crawler.address_turns import AddressTurns
from crawler.ai.plan import Refused, make_plan
from crawler.ai.providers import Providers
from crawler.doorbell import Doorbell
from crawler.errors import InvalidRequest
from crawler.fetch.addresses import Policy, is_forbidden_host
from crawler.jobs import parse_job
from crawler.model import CrawlStatus, CrawlView, Found, Kind, RecordPage, UrlStatus
from crawler.options import CrawlOptions, split_secrets
from crawler.recrawl import shape
from crawler.robots import signal_conflict
from crawler.robots_cache import Hold, RobotsCache, Rules, Unreachable
from crawler.settings import Settings
from crawler.store.crawls import Crawls, NewCrawl, Quotas
from crawler.store.hosts import Hosts
from crawler.store.records import Records
from crawler.store.secrets import Secrets
from crawler.urls import Url

log = logging.getLogger(__name__)

#: How long POST waits for robots.txt before it accepts the crawl and leaves the decision to the worker.
_PROBE_SECONDS = 0.8

SIGNAL_CONFLICT = "Crawl disallowed by Content-Signal directive (purpose or use level)"


class CrawlService:
    """One per process. Every method takes the account that asks; another account's crawl does not exist for it."""

    def __init__(
        self,
        *,
        settings: Settings,
        policy: Policy,
        crawls: Crawls,
        secrets: Secrets,
        records: Records,
        hosts: Hosts,
        addresses: AddressTurns,
        robots: RobotsCache,
        doorbell: Doorbell,
        providers: Providers,
    ) -> None:
        self._providers = providers
        self._settings = settings
        self._policy = policy
        self._crawls = crawls
        self._secrets = secrets
        self._records = records
        self._hosts = hosts
        self._addresses = addresses
        self._robots = robots
        self._doorbell = doorbell
        self.quotas = Quotas(settings.max_running_crawls, settings.max_daily_crawls)
        #: robots.txt fetches that outlive their POST.
        self._probes: set[asyncio.Task[Rules | Hold | Unreachable]] = set()

    async def create(
        self,
        account_id: str,
        options: CrawlOptions,
        *,
        idempotency_key: str | None = None,
        is_retry: bool = False,
    ) -> str:
        """Accept a crawl and return its id; from then on it is durable and readable.

        Raises InvalidRequest for a target that may not be crawled, or whose content signals refuse the declared
        purposes; RateLimited when a quota is used up.
        """
        new = await self.prepare(account_id, options, idempotency_key=idempotency_key, is_retry=is_retry)
        crawl_id = await self._crawls.create(new, self.quotas)
        await self._doorbell.ring(new.kind)
        return crawl_id

    async def prepare(
        self,
        account_id: str,
        options: CrawlOptions,
        *,
        idempotency_key: str | None = None,
        is_retry: bool = False,
    ) -> NewCrawl:
        """All of `create` but the row: what can be found out about a request before it is accepted.

        Raises InvalidRequest like `create`.
        """
        seed = self.check_target(options)
        await self._check_signals(seed, options)
        found = Found(seed.href, urls.key(seed.href), seed.host)
        robots_url = f"{seed.origin}/robots.txt"
        public, secret = split_secrets(options)
        return NewCrawl(
            account_id=account_id,
            seed=found,
            options=public.to_json(),
            kind=Kind.RENDER if options.render else Kind.STATIC,
            url_limit=options.limit,
            max_depth=options.depth,
            discovery=None
            if options.source == "links"
            else Found(robots_url, urls.key(robots_url), seed.host),
            request_hash=self._secrets.fingerprint(options.to_json()),
            fingerprint=self._secrets.fingerprint(shape(account_id, options, self._settings))[:32],
            secret=secret,
            idempotency_key=idempotency_key,
            is_retry=is_retry,
        )

    def check_target(self, options: CrawlOptions) -> Url:
        """The start URL. Raises InvalidRequest for one that may not be crawled, as far as that shows without DNS, and
        for JSON that can be had neither from a model of the operator's table nor from structured data."""
        if "json" in options.formats and options.json_options is not None:
            plan = make_plan(options.json_options, self._providers)
            if isinstance(plan, Refused):
                raise InvalidRequest(plan.message)
        seed = parse_job("", options).seed
        if is_forbidden_host(seed.host, seed.port, self._policy):
            raise InvalidRequest("url: this address may not be crawled; name a public http(s) host")
        return seed

    async def read(
        self,
        account_id: str,
        crawl_id: str,
        *,
        cursor: int = 0,
        limit: int = 50,
        status: UrlStatus | None = None,
    ) -> RecordPage:
        """The crawl and some of its records (contract A.5, A.9). Raises NotFound."""
        return await self._records.read(account_id, crawl_id, cursor=cursor, limit=limit, status=status)

    async def receipt(self, account_id: str, crawl_id: str) -> Mapping[str, Mapping[str, int]]:
        """Every record's fate: by status, by the reason that decided. Raises NotFound."""
        return await self._crawls.reasons(account_id, crawl_id)

    async def cancel(self, account_id: str, crawl_id: str) -> None:
        """End a running crawl; what is finished stays readable. Raises NotFound, NotCancellable."""
        await self._crawls.cancel(account_id, crawl_id)

    async def list_crawls(
        self, account_id: str, *, status: CrawlStatus | None, cursor: str | None, limit: int
    ) -> tuple[tuple[CrawlView, ...], str | None]:
        """Crawls of the account, newest first, and the cursor of the next page. Raises InvalidRequest for a cursor
        that is not ours."""
        before = None if cursor is None else _decode_cursor(cursor)
        views = await self._crawls.list_views(account_id, status=status, before=before, limit=limit + 1)
        shown = views[:limit]
        more = len(views) > limit and shown
        return tuple(shown), _encode_cursor(shown[-1]) if more else None

    async def close(self) -> None:
        """Give up what was begun for the answer of a POST."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    async def _check_signals(self, seed: Url, options: CrawlOptions) -> None:
        """Content signals of the seed (contract B.3). Slow, failing or busy: the worker decides later."""
        rules = self._robots.known(seed.origin)
        if rules is None:
            probe = asyncio.create_task(self._probe(seed), name=f"probe-{seed.host}")
            self._probes.add(probe)
            probe.add_done_callback(self._forget)
            done, _ = await asyncio.wait({probe}, timeout=_PROBE_SECONDS)
            answer = probe.result() if done else None
            rules = answer if isinstance(answer, Rules) else None
        if not isinstance(rules, Rules):
            return
        signals = rules.robots.signals(seed.href)
        if signal_conflict(signals, frozenset(options.crawl_purposes), options.content_use):
            raise InvalidRequest(SIGNAL_CONFLICT)

    def _forget(self, probe: asyncio.Task[Rules | Hold | Unreachable]) -> None:
        self._probes.discard(probe)
        if not probe.cancelled() and (error := probe.exception()) is not None:
            log.warning("robots.txt was not read at POST: %s", error)

    async def _probe(self, seed: Url) -> Rules | Hold | Unreachable:
        host_id = (await self._hosts.ensure([seed.host]))[seed.host]
        stored = await self._robots.stored(seed.origin)
        if stored is not None:
            return stored
        # The request is a document like any other: it takes its turn at the address and at the host.
        if not await self._addresses.enter(seed.href):
            return Hold(0.0)
        turn = await self._hosts.reserve(seed.host)
        await asyncio.sleep(turn.wait_seconds)
        began = time.monotonic()

        async def leave() -> None:
            # Whoever comes after this turn leaves an interval after its beginning, however long we took.
            if time.monotonic() - began > turn.interval_seconds / 2:
                later = await self._hosts.reserve(seed.host)
                await asyncio.sleep(later.wait_seconds)

        return await self._robots.get(seed.origin, host_id, leave)


def _encode_cursor(view: CrawlView) -> str:
    return base64.urlsafe_b64encode(json.dumps([view.created_at, view.id]).encode()).decode()


def _decode_cursor(cursor: str) -> tuple[int, str]:
    try:
        match json.loads(base64.urlsafe_b64decode(cursor.encode())):
            case [int(created_at), str(crawl_id)] if 0 <= created_at < 2**63:
                return created_at, str(UUID(crawl_id))
    except (ValueError, binascii.Error):
        pass
    raise InvalidRequest("cursor: not one of ours; use the cursor of the page before")
