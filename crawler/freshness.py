"""Whether a page must be fetched at all, and if so what to ask its origin (rules: `crawler.recrawl`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from crawler import recrawl, urls
from crawler.content import follow
from crawler.jobs import Job
from crawler.model import Lease, Outcome, Response, Stored, UrlStatus
from crawler.recent import Recent
from crawler.settings import Settings
from crawler.store.copies import Copies, Past

#: `Lease.seq` of the URL that was submitted.
_START = 1
#: Crawls remembered per process.
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask an origin about one page, and what is known of it."""

    #: Conditional headers; empty: fetch the page in full.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The page of the crawl before.
    stored: Stored | None = None
    #: "Not modified" is the answer to `modifiedSince`, so the page is left out.
    leaves_out: bool = False
    #: That was the answer, but the page is needed for its links.
    links_only: bool = False


class Freshness:
    """Looks for copies and settles answers. One per process."""

    def __init__(self, copies: Copies, settings: Settings) -> None:
        self._copies = copies
        self._every = settings.full_check_every
        self._pasts = Recent[str, Past](_REMEMBERED)

    async def find_copy(self, lease: Lease, job: Job) -> Outcome | None:
        """A copy that `maxAge` allows, as the page's outcome: no request, no browser, no turn (contract B.7)."""
        options = job.options
        if options.max_age == 0 or options.incremental or not recrawl.is_plain(options):
            return None
        past = await self._past(job)
        if not past.has_others:
            return None
        key = recrawl.reuse_key(past.fingerprint, lease.url)
        stored = await self._copies.newest(key, max_age_seconds=options.max_age)
        # The two filters are independent: a copy must pass both.
        if stored is None or recrawl.is_older(stored.last_modified, options.modified_since):
            return None
        outcome = _from_copy(Outcome(lease, UrlStatus.COMPLETED), stored, "hit")
        return replace(outcome, found=follow(outcome, job), unused_turn=True)

    async def ask(self, lease: Lease, job: Job) -> Question | Outcome:
        """What to ask the origin before, or instead of, taking its page. An Outcome: nothing, the page of the crawl
        before is taken over, because it is not due (`recheckWithin`)."""
        options = job.options
        stored = None
        if options.incremental:
            previous_id = (await self._past(job)).previous_id
            if previous_id is not None:
                stored = await self._copies.of_crawl(previous_id, urls.key(lease.url))
        since = options.modified_since
        if options.render and not recrawl.is_plain(options):
            # Only the browser sends what this crawl sends.
            return Question(stored=stored)
        if since is not None and lease.lastmod_at is None:
            return Question({"if-modified-since": recrawl.http_date(since)}, stored, leaves_out=True)
        if stored is None or recrawl.lacks_answer(stored.details):
            return Question(stored=stored)
        if not recrawl.is_believed(stored, every=self._every):
            return Question(stored=stored)
        within = options.recheck_within
        if within is not None and not recrawl.is_due(
            stored, within_seconds=within, lastmod_at=lease.lastmod_at
        ):
            return _take_over(stored, lease, job)
        return Question(recrawl.validators(stored), stored)

    def settle(self, question: Question, lease: Lease, job: Job, answer: Response) -> Outcome | Question:
        """What "not modified" makes of the page; a Question: it must be fetched in full all the same."""
        stored = question.stored
        if question.leaves_out:
            if lease.seq != _START:
                return _left_out(Outcome(lease, UrlStatus.COMPLETED))
            # Without the links of the start there is no crawl, whatever its age.
            return Question(stored=stored, links_only=True)
        if stored is None or answer.redirects or stored.final_url != lease.url:
            # These validators were not those of the page that answered.
            return Question(stored=stored)
        # An origin may have changed its mind about who may keep the page.
        kept = recrawl.may_keep(job.options, replace(answer, status=200))
        outcome = replace(
            _from_copy(Outcome(lease, UrlStatus.COMPLETED), stored, "revalidated"),
            confirmed=stored.confirmed + 1,
            reuse_key=stored.reuse_key if kept else None,
            steady_ms=recrawl.steady_ms_after(stored, same=True) if kept else None,
            asked_at=None,
        )
        return replace(outcome, found=follow(outcome, job))

    async def stamp(self, question: Question, outcome: Outcome, job: Job, response: Response) -> Outcome:
        """Note on a page that was fetched in full what later crawls need to know of it."""
        if outcome.status is not UrlStatus.COMPLETED:
            return outcome
        if question.links_only:
            return _left_out(outcome)
        etag, stored = response.headers.get("etag"), question.stored
        kept = recrawl.may_keep(job.options, response) and not recrawl.lacks_answer(outcome.details)
        key = recrawl.reuse_key((await self._past(job)).fingerprint, outcome.lease.url) if kept else None
        steady_ms = recrawl.steady_ms_after(stored, same=_is_steady(stored, outcome))
        return replace(
            outcome,
            etag=etag,
            reuse_key=key,
            steady_ms=steady_ms if kept else None,
            confirmed=recrawl.confirmed_after_fetch(
                stored, etag, outcome.last_modified, same=_is_same(stored, outcome)
            ),
        )

    async def _past(self, job: Job) -> Past:
        past = self._pasts.get(job.crawl_id)
        if past is None:
            past = await self._copies.past(job.crawl_id)
            self._pasts.put(job.crawl_id, past)
        return past


def _from_copy(outcome: Outcome, stored: Stored, status: str) -> Outcome:
    return replace(
        outcome,
        http_status=stored.http_status,
        final_url=stored.final_url,
        title=stored.title,
        last_modified=stored.last_modified,
        etag=stored.etag,
        html=stored.html,
        markdown=stored.markdown,
        json=stored.json,
        details=recrawl.details_of_copy(stored, status),
        content_hash=stored.content_hash,
        links=stored.links,
        confirmed=stored.confirmed,
        steady_ms=stored.steady_ms,
        asked_at=stored.asked_at,
    )


def _take_over(stored: Stored, lease: Lease, job: Job) -> Outcome:
    """The page as it was. It counts as believed, so that every n-th crawl looks for itself here, too."""
    outcome = replace(
        _from_copy(Outcome(lease, UrlStatus.COMPLETED), stored, "not_due"), confirmed=stored.confirmed + 1
    )
    return replace(outcome, found=follow(outcome, job), unused_turn=True)


def _left_out(outcome: Outcome) -> Outcome:
    return Outcome(outcome.lease, UrlStatus.SKIPPED, recrawl.NOT_MODIFIED, found=outcome.found)


def _is_steady(stored: Stored | None, outcome: Outcome) -> bool:
    """Whether nothing that matters to a crawl has changed: other links are news, though the text is the same."""
    return stored is not None and (stored.content_hash, stored.links) == (outcome.content_hash, outcome.links)


def _is_same(stored: Stored | None, outcome: Outcome) -> bool:
    """Whether the text is that of the crawl before; also where nobody can tell."""
    if stored is None or stored.content_hash is None or outcome.content_hash is None:
        return True
    return stored.content_hash == outcome.content_hash
