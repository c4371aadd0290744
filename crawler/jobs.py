"""What a worker needs to know of a crawl, read once per process: its request never changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from crawler import urls
from crawler.extract.view import View
from crawler.fetch.render_options import RenderOptions
from crawler.model import Found
from crawler.options import CrawlOptions, join_secrets
from crawler.patterns import Pattern
from crawler.recent import Recent
from crawler.render_request import render_options
from crawler.scope import Scope
from crawler.store.crawls import Crawls
from crawler.store.secrets import Secrets
from crawler.urls import Url

#: Crawls remembered per process.
_CACHED_JOBS = 1_000
#: Links remembered per crawl and process.
_REMEMBERED_LINKS = 2_000
#: A seed was checked when it was submitted; only the discovered URLs have the shorter limit.
_MAX_SEED_CHARS = 8_192


@dataclass(frozen=True, slots=True)
class Job:
    """One crawl's request, parsed."""

    crawl_id: str
    options: CrawlOptions
    scope: Scope
    #: One value for all pages of the crawl, by which the renderer knows them.
    rendering: RenderOptions
    #: What Markdown shows of a page; None: no Markdown is wanted.
    view: View | None
    #: Links judged so far: the pages of a site link to each other again and again.
    _found: dict[str, Found] = field(default_factory=dict, repr=False, compare=False)

    @property
    def seed(self) -> Url:
        """The submitted URL."""
        return self.scope.seed

    def find(self, links: Iterable[str]) -> tuple[Found, ...]:
        """Links as the frontier takes them, each with the rule that keeps it out, if one does."""
        return tuple(self._found.get(url) or self._judge(url) for url in links)

    def _judge(self, url: str) -> Found:
        found = Found(url, urls.key(url), urls.host_of(url), self.scope.decide(url) or "")
        if len(self._found) < _REMEMBERED_LINKS:
            self._found[url] = found
        return found


def parse_job(crawl_id: str, options: CrawlOptions) -> Job:
    """Compile a request's scope."""
    seed = urls.parse(options.url, max_chars=_MAX_SEED_CHARS)
    include = [Pattern.compile(text) for text in options.include_patterns]
    exclude = [Pattern.compile(text) for text in options.exclude_patterns]
    # All were validated at the door.
    assert isinstance(seed, Url)
    scope = Scope(
        seed=seed,
        include=tuple(pattern for pattern in include if isinstance(pattern, Pattern)),
        exclude=tuple(pattern for pattern in exclude if isinstance(pattern, Pattern)),
        external=options.include_external_links,
        subdomains=options.include_subdomains,
    )
    return Job(crawl_id, options, scope, render_options(options), _view(options))


def _view(options: CrawlOptions) -> View | None:
    if not {"markdown", "json"} & set(options.formats):
        return None
    wanted = options.markdown_options
    return View(
        content=wanted.content,
        selector=wanted.css_selector or "",
        excluded=wanted.exclude_selectors,
        links=wanted.links,
        images=wanted.images,
    )


class Jobs:
    """Jobs by crawl id."""

    def __init__(self, crawls: Crawls, secrets: Secrets) -> None:
        self._crawls = crawls
        self._secrets = secrets
        self._jobs = Recent[str, Job](_CACHED_JOBS)

    async def get(self, crawl_id: str) -> Job | None:
        """The job, None when the crawl has been deleted. Raises SecretLost when its secrets cannot be read."""
        job = self._jobs.get(crawl_id)
        if job is None:
            text = await self._crawls.options(crawl_id)
            if text is None:
                return None
            options = CrawlOptions.from_json(text)
            secret = await self._secrets.get(crawl_id)
            if secret is not None:
                options = join_secrets(options, secret)
            job = parse_job(crawl_id, options)
            self._jobs.put(crawl_id, job)
        return job
