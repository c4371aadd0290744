"""Which URLs may be asked for: by robots.txt and content signals, and on the way of a redirect by the target's own."""

from __future__ import annotations

import asyncio

from crawler import urls
from crawler.jobs import Job
from crawler.model import Lease, Refusal, UrlStatus
from crawler.robots import signal_conflict
from crawler.robots_cache import Hold, RobotsCache, Rules, Unreachable
from crawler.store.hosts import Hosts
from crawler.turns import Turns


class Hops:
    """Admits redirects. One per process."""

    def __init__(self, robots: RobotsCache, hosts: Hosts, turns: Turns) -> None:
        self._robots = robots
        self._hosts = hosts
        self._turns = turns

    async def refuse(self, url: str, lease: Lease, job: Job) -> Refusal | None:
        """Why a redirect to this URL is not followed; None once its turn has come.

        Off-site redirects are followed, as Cloudflare does (contract B.6); what an exclude pattern names is not
        fetched by a detour either.
        """
        if job.scope.decide(url) == "excluded":
            return Refusal(UrlStatus.SKIPPED, "excluded")
        origin = urls.origin_of(url)
        rules = self._robots.known(origin)
        while rules is None:
            await self._turns.wait_for_next(lease, url)
            host = urls.host_of(url)
            answer = await self._robots.get(origin, (await self._hosts.ensure([host]))[host])
            if isinstance(answer, Hold):
                await asyncio.sleep(answer.seconds)
            else:
                rules = answer
        if isinstance(rules, Unreachable):
            verdict = rules.verdict
            return verdict if isinstance(verdict, Refusal) else Refusal(UrlStatus.ERRORED, verdict.code)
        refused = judge(rules, url, job)
        if refused is None:
            await self._turns.wait_for_next(lease, url)
        return refused


def judge(rules: Rules, url: str, job: Job) -> Refusal | None:
    """robots.txt and content signals for one URL (contract B.2, B.3)."""
    if not rules.robots.allowed(url):
        return Refusal(UrlStatus.DISALLOWED, "robots")
    purposes = frozenset(job.options.crawl_purposes)
    if signal_conflict(rules.robots.signals(url), purposes, job.options.content_use):
        return Refusal(UrlStatus.DISALLOWED, "content_signal")
    return None
