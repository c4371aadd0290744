"""Where a crawl's sitemaps are and what they list: robots.txt `Sitemap:` lines, else `/sitemap.xml`.

Sitemaps are frontier rows like pages, so reading them is paced, leased, retried and survives a crash the same way.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from functools import partial

from crawler import sitemaps, urls
from crawler.fetch.http import HttpFetcher
from crawler.jobs import Job
from crawler.model import Failure, Found, Lease, Outcome, Refusal, Response, UrlStatus
from crawler.politeness import backoff
from crawler.recrawl import NOT_MODIFIED
from crawler.robots_cache import Hold, RobotsCache, Rules
from crawler.settings import Settings
from crawler.sitemap_guard import BadSitemap
from crawler.sitemaps import Sitemap, SitemapEntry
from crawler.turns import Turns

_FETCH_SECONDS = 30.0


class Discovery:
    """Reads robots.txt for sitemaps, and sitemaps for pages and more sitemaps."""

    def __init__(
        self,
        robots: RobotsCache,
        turns: Turns,
        fetcher: HttpFetcher,
        settings: Settings,
        rng: random.Random,
    ) -> None:
        self._robots = robots
        self._turns = turns
        self._fetcher = fetcher
        self._settings = settings
        self._rng = rng

    async def name_sitemaps(self, lease: Lease, job: Job) -> Outcome:
        """From the robots.txt of the seed's origin: the sitemaps to read."""
        turn = partial(self._turns.take, lease)
        rules = await self._robots.get(job.seed.origin, lease.host_id, turn)
        match rules:
            case Hold(seconds):
                return _later(lease, seconds)
            case Rules(robots):
                named = list(robots.sitemaps) or [f"{job.seed.origin}/sitemap.xml"]
                found = self._children(job, named[: self._settings.max_sitemaps])
                return Outcome(lease, UrlStatus.COMPLETED, sitemaps=found)
            case _:
                # The seed will say why; without rules there are no sitemaps.
                return Outcome(lease, UrlStatus.ERRORED, "robots_unreachable")

    async def read_sitemap(self, lease: Lease, job: Job) -> Outcome:
        """One sitemap: its pages by priority, and its children if the index is not nested too deep."""
        turn = partial(self._turns.take, lease)
        rules = await self._robots.get(urls.origin_of(lease.url), lease.host_id, turn)
        if isinstance(rules, Hold):
            return _later(lease, rules.seconds)
        if not isinstance(rules, Rules) or not rules.robots.allowed(lease.url):
            return Outcome(lease, UrlStatus.DISALLOWED, "robots")
        if rules.fetched and lease.interval_ms:
            # robots.txt has had the host's turn.
            if self._robots.outlasts(lease.interval_ms):
                return _later(lease, 0.0)
            await self._turns.wait_for_next(lease, lease.url)
        else:
            await self._turns.take(lease)
        answer = await self._fetcher.fetch(
            lease.url, max_bytes=self._settings.max_sitemap_bytes, timeout_seconds=_FETCH_SECONDS
        )
        match answer:
            case Response(status=200, body=body):
                return await self._read(lease, job, body)
            case Response(status=status):
                retry = status == 429 or status >= 500
                return self._failed(lease, "http_error", http_status=status, retry=retry)
            case Failure(code=code, retryable=retryable):
                return self._failed(lease, code, http_status=None, retry=retryable)
            case Refusal(status=status, reason=reason):
                return Outcome(lease, status, reason)

    async def _read(self, lease: Lease, job: Job, body: bytes) -> Outcome:
        # 50,000 URLs take more than a second: not on the event loop.
        parsed = await asyncio.to_thread(
            sitemaps.parse,
            body,
            url=lease.url,
            max_urls=self._settings.max_sitemap_urls,
            max_bytes=self._settings.max_sitemap_bytes,
            max_url_chars=self._settings.max_url_chars,
        )
        match parsed:
            case BadSitemap(reason):
                return Outcome(lease, UrlStatus.ERRORED, reason[:64], http_status=200)
            case Sitemap(pages, children):
                # Out of scope: dropped without a record, there may be very many (contract A.8).
                listed = zip(pages, job.find(page.url for page in pages), strict=True)
                found = tuple(_dated(item, page, job) for page, item in listed if not item.skip_reason)
                nested = lease.depth < self._settings.max_sitemap_depth
                return Outcome(
                    lease,
                    UrlStatus.COMPLETED,
                    http_status=200,
                    found=found,
                    sitemaps=self._children(job, list(children)) if nested else (),
                )

    def _children(self, job: Job, locations: list[str]) -> tuple[Found, ...]:
        """Sitemaps on other hosts are read too, because sites keep them at a CDN; the way out judges them."""
        resolved = (
            urls.resolve(job.seed.href, location, max_chars=self._settings.max_url_chars)
            for location in locations
        )
        return tuple(Found(url, urls.key(url), urls.host_of(url)) for url in resolved if url)

    def _failed(self, lease: Lease, reason: str, *, http_status: int | None, retry: bool) -> Outcome:
        if retry and lease.attempt < self._settings.max_attempts:
            delay = backoff(lease.attempt, self._rng).total_seconds()
            return Outcome(lease, UrlStatus.QUEUED, reason, retry_after_seconds=delay)
        return Outcome(lease, UrlStatus.ERRORED, reason, http_status=http_status)


def _dated(item: Found, page: SitemapEntry, job: Job) -> Found:
    """A page with its time of change, left out if that is before `modifiedSince` (contract B.8)."""
    if page.lastmod is None:
        return item
    lastmod_at = round(page.lastmod.timestamp() * 1000)
    since = job.options.modified_since
    is_older = since is not None and lastmod_at < since * 1000
    return replace(item, lastmod_at=lastmod_at, skip_reason=NOT_MODIFIED if is_older else "")


def _later(lease: Lease, seconds: float) -> Outcome:
    """Hand the lease back without counting it."""
    return Outcome(lease, UrlStatus.QUEUED, "robots", retry_after_seconds=seconds, give_attempt_back=True)
