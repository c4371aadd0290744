"""One lease -> one outcome, in reading order: robots.txt, a copy (`crawler.freshness`), fetch or render, content
(`crawler.content`).

Expected bad things are values: a page that fails, that robots.txt forbids or that redirects out of reach ends as an
`Outcome` like any other. Nothing here writes to the database except by way of the robots.txt cache and host turns.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeGuard, assert_never

from crawler import urls
from crawler.ai.extraction import JsonExtractor
from crawler.content import Contents
from crawler.discovery import Discovery
from crawler.errors import SecretLost
from crawler.extract.content_type import classify, media_type, shows_bytes
from crawler.extract.converter import Converter
from crawler.extract.documents import Documents
from crawler.fetch.http import BeforeSend, HttpFetcher
from crawler.fetch.renderer import Renderer
from crawler.freshness import Freshness, Question
from crawler.hops import Hops, judge
from crawler.jobs import Job, Jobs
from crawler.metrics import Metrics
from crawler.model import (
    ErrorCode,
    Failure,
    HostSign,
    Lease,
    Outcome,
    Refusal,
    Rendered,
    Response,
    Role,
    UrlStatus,
)
from crawler.robots_cache import Hold, RobotsCache, Rules, Unreachable
from crawler.settings import Settings
from crawler.shown_types import check_type, is_document, type_details
from crawler.store.hosts import Hosts
from crawler.turns import Turns
from crawler.verdicts import Verdicts

log = logging.getLogger(__name__)

_NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Parts:
    """What the pipeline works with."""

    settings: Settings
    turns: Turns
    hosts: Hosts
    jobs: Jobs
    robots: RobotsCache
    freshness: Freshness
    fetcher: HttpFetcher
    converter: Converter
    documents: Documents
    extractor: JsonExtractor
    renderer: Renderer
    metrics: Metrics


class PagePipeline:
    """Runs leases. One for all pumps of a process."""

    def __init__(self, parts: Parts, *, rng: random.Random, wall_clock: Callable[[], datetime]) -> None:
        self._settings = parts.settings
        self._turns = parts.turns
        self._hops = Hops(parts.robots, parts.hosts, parts.turns)
        self._jobs = parts.jobs
        self._robots = parts.robots
        self._freshness = parts.freshness
        self._fetcher = parts.fetcher
        self._contents = Contents(parts.settings, parts.converter, parts.documents, parts.extractor)
        self._renderer = parts.renderer
        self._metrics = parts.metrics
        #: So many pages load at once. The pump leases more: others are at rest, before they are read, or converted.
        self._loading = asyncio.Semaphore(parts.settings.render_slots)
        self._verdicts = Verdicts(parts.settings, rng=rng, wall_clock=wall_clock)
        self._discovery = Discovery(parts.robots, parts.turns, parts.fetcher, parts.settings, rng)

    async def run(self, lease: Lease) -> Outcome:
        """Do what the lease allows."""
        try:
            job = await self._jobs.get(lease.crawl_id)
        except SecretLost as error:
            log.error("crawl %s: %s", lease.crawl_id, error.message)
            return Outcome(lease, UrlStatus.ERRORED, "secret_lost")
        if job is None:
            return Outcome(lease, UrlStatus.CANCELLED, "deleted")
        if lease.host_down is not None:
            return Outcome(lease, UrlStatus.ERRORED, lease.host_down, unused_turn=True)
        if not await self._turns.enter(lease):
            return _give_back(lease, 0.0)
        match lease.role:
            case Role.DISCOVERY:
                return await self._discovery.name_sitemaps(lease, job)
            case Role.SITEMAP:
                return await self._discovery.read_sitemap(lease, job)
            case Role.PAGE:
                return await self._run_page(lease, job)
            case other:
                assert_never(other)

    async def _run_page(self, lease: Lease, job: Job) -> Outcome:
        turn = partial(self._turns.take, lease)
        rules = await self._robots.get(urls.origin_of(lease.url), lease.host_id, turn)
        match rules:
            case Hold(seconds):
                return _give_back(lease, seconds)
            case Unreachable(verdict):
                # The host has not been asked just now: this says nothing new about it.
                if isinstance(verdict, Failure):
                    return Outcome(lease, UrlStatus.ERRORED, verdict.code)
                return Outcome(lease, verdict.status, verdict.reason)
            case Rules():
                if not await self._keep_distance(lease, rules):
                    return replace(_give_back(lease, 0.0), host_sign=HostSign())
            case other:
                assert_never(other)
        refused = judge(rules, lease.url, job)
        if refused is not None:
            return Outcome(lease, refused.status, refused.reason)
        copy = await self._freshness.find_copy(lease, job)
        if copy is not None:
            return copy
        question = await self._freshness.ask(lease, job)
        if isinstance(question, Outcome):
            return question
        take_in_full = self._render if job.options.render else self._fetch
        return await take_in_full(lease, job, question)

    async def _keep_distance(self, lease: Lease, rules: Rules) -> bool:
        """Wait for another turn where the lease's own is none for the page; False: hand the lease back instead."""
        interval_ms = rules.delay_ms or lease.interval_ms
        if not interval_ms:
            return True
        if rules.fetched and self._robots.outlasts(interval_ms):
            # robots.txt has had the host's turn.
            return False
        if rules.fetched or not lease.interval_ms:
            # The same, or it was leased before it was known that the host wants a distance.
            await self._turns.wait_for_next(lease, lease.url)
        return True

    async def _fetch(self, lease: Lease, job: Job, question: Question) -> Outcome:
        answer = await self._get(lease, job, question.headers, partial(self._turns.take, lease))
        if _is_confirmed(answer, question):
            settled = self._freshness.settle(question, lease, job, answer)
            if isinstance(settled, Outcome):
                return replace(settled, host_sign=HostSign())
            question = settled
            next_turn = partial(self._turns.wait_for_next, lease, lease.url)
            answer = await self._get(lease, job, question.headers, next_turn)
        return await self._finish_static(lease, job, question, answer)

    async def _finish_static(
        self, lease: Lease, job: Job, question: Question, answer: Response | Failure | Refusal
    ) -> Outcome:
        match answer:
            case Failure():
                return self._verdicts.of_failure(lease, answer)
            case Refusal(status=status, reason=reason):
                return Outcome(lease, status, reason, host_sign=HostSign())
            case Response():
                self._metrics.note_fetch(answer.elapsed_seconds)
                outcome = self._verdicts.of_response(lease, answer)
                if outcome.status is UrlStatus.QUEUED:
                    return outcome
                outcome = await self._contents.add_static(outcome, job, answer)
                return await self._freshness.stamp(question, outcome, job, answer)
            case other:
                assert_never(other)

    async def _get(
        self, lease: Lease, job: Job, headers: Mapping[str, str], turn: BeforeSend | None = None
    ) -> Response | Failure | Refusal:
        """Fetch the page, at `turn`; None: the host's turn is ours already."""

        failed_at = ""

        async def may_follow(_from: str, to: str) -> Refusal | None:
            nonlocal failed_at
            failed_at = to
            return await self._hops.refuse(to, lease, job)

        answer = await self._fetcher.fetch(
            lease.url,
            headers=headers,
            max_bytes=self._settings.max_document_bytes,
            timeout_seconds=self._settings.fetch_timeout_seconds,
            on_redirect=may_follow,
            before_send=turn,
        )
        return replace(answer, url=failed_at) if isinstance(answer, Failure) else answer

    async def _render(self, lease: Lease, job: Job, question: Question) -> Outcome:
        asked = bool(question.headers)
        if asked:
            settled = await self._ask_without_browser(lease, job, question)
            if isinstance(settled, Outcome):
                return replace(settled, host_sign=HostSign())
            question = settled
        confirmed, failed_at = False, ""

        async def may_navigate(url: str) -> Refusal | None:
            nonlocal confirmed, failed_at
            if confirmed:
                failed_at = url
                return await self._hops.refuse(url, lease, job)
            # The first document is the lease's own; opening a page may have taken longer than its turn lasts.
            confirmed = True
            await (self._turns.wait_for_next(lease, lease.url) if asked else self._turns.take(lease))
            self._turns.note_sent(lease.host)
            return None

        await self._loading.acquire()
        with ExitStack() as place:
            # Closed once the page is at rest: a second call does nothing.
            place.callback(self._loading.release)
            answer = await self._renderer.render(
                lease.url,
                crawl_id=lease.crawl_id,
                options=job.rendering,
                deadline_seconds=self._settings.render_timeout_seconds,
                on_document=may_navigate,
                on_rest=place.close,
            )
        outcome = await self._finish_rendered(lease, job, question, answer, failed_at)
        return replace(outcome, browser_seconds=answer.browser_seconds)

    async def _finish_rendered(
        self,
        lease: Lease,
        job: Job,
        question: Question,
        answer: Rendered | Failure | Refusal,
        failed_at: str,
    ) -> Outcome:
        if is_document(answer):
            # What the browser shows of it, if anything, is a viewer of its own.
            return await self._fetch_document(lease, job, question)
        answer = await self._check_bytes(lease, job, check_type(answer))
        match answer:
            case Failure():
                failed = self._verdicts.of_failure(lease, replace(answer, url=failed_at))
                return replace(failed, details=type_details(answer))
            case Refusal(status=status, reason=reason):
                return Outcome(lease, status, reason, host_sign=HostSign())
            case Rendered():
                self._metrics.note_render(answer.browser_seconds)
                outcome = self._verdicts.of_response(lease, answer.response)
                if outcome.status is UrlStatus.QUEUED:
                    return outcome
                outcome = await self._contents.add_rendered(outcome, job, answer)
                return await self._freshness.stamp(question, outcome, job, answer.response)
            case other:
                assert_never(other)

    async def _fetch_document(self, lease: Lease, job: Job, question: Question) -> Outcome:
        """What the browser found to be a document."""
        answer = await self._get_once_more(lease, job)
        return await self._finish_static(lease, job, question, answer)

    async def _get_once_more(self, lease: Lease, job: Job) -> Response | Failure | Refusal:
        """What the browser has had, without it: that takes another turn of the host."""
        await self._turns.wait_for_next(lease, lease.url)
        return await self._get(lease, job, {})

    async def _check_bytes(
        self, lease: Lease, job: Job, rendered: Rendered | Failure | Refusal
    ) -> Rendered | Failure | Refusal:
        """What looks like another format called HTML: its bytes decide, as without the browser."""
        if not isinstance(rendered, Rendered) or not shows_bytes(rendered.html):
            return rendered
        answer = await self._get_once_more(lease, job)
        if isinstance(answer, Response) and 200 <= answer.status < 300:
            kind = classify(answer.headers.get("content-type"), answer.body, url=answer.url)
            if isinstance(kind, Failure):
                return replace(kind, media_type=media_type(answer.headers.get("content-type")))
        return rendered

    async def _ask_without_browser(self, lease: Lease, job: Job, question: Question) -> Outcome | Question:
        """Whether the document is as it was. Any other answer than "not modified" is left to the browser to get."""
        answer = await self._fetcher.fetch(
            lease.url,
            before_send=partial(self._turns.take, lease),
            headers=question.headers,
            timeout_seconds=self._settings.fetch_timeout_seconds,
            max_redirects=0,
            accept=_only_not_modified,
        )
        if _is_confirmed(answer, question):
            return self._freshness.settle(question, lease, job, answer)
        return question


def _is_confirmed(answer: Response | Failure | Refusal, question: Question) -> TypeGuard[Response]:
    return isinstance(answer, Response) and answer.status == _NOT_MODIFIED and bool(question.headers)


def _only_not_modified(status: int, _headers: Mapping[str, str]) -> Failure | None:
    return None if status == _NOT_MODIFIED else Failure(ErrorCode.HTTP_ERROR, f"status {status}")


def _give_back(lease: Lease, seconds: float) -> Outcome:
    """Hand the lease back: it was not its turn, so it does not count."""
    return Outcome(lease, UrlStatus.QUEUED, "turn", retry_after_seconds=seconds, give_attempt_back=True)
