"""The body of POST `/crawl` (contract A.4): one model for the API, the command line and the database column."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from crawler import urls
from crawler.options.credentials import Authenticate, Cookies, Headers, check_cookie
from crawler.options.extraction import JsonOptions
from crawler.options.markdown import MarkdownOptions
from crawler.options.rendering import (
    GotoOptions,
    RequestPatterns,
    ResourceTypes,
    ScriptTags,
    StyleTags,
    Viewport,
    WaitForSelector,
)
from crawler.options.wire import Closed, Open, Wait, WebUrl, Whole
from crawler.patterns import MAX_PATTERN_CHARS, BadPattern, Pattern

MAX_URLS = 100_000
MAX_AGE_SECONDS = 7 * 86_400
MAX_RECHECK_SECONDS = 30 * 86_400
MAX_PATTERNS = 100

Format = Literal["html", "markdown", "json"]
Source = Literal["all", "sitemaps", "links"]
Purpose = Literal["search", "ai-input", "ai-train"]
ContentUse = Literal["reference", "full"]


def _pattern(text: str) -> str:
    match Pattern.compile(text):
        case BadPattern(message):
            raise ValueError(message)
        case found:
            return found.text


def _once(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


Patterns = Annotated[
    tuple[
        Annotated[
            str, StringConstraints(min_length=1, max_length=MAX_PATTERN_CHARS), AfterValidator(_pattern)
        ],
        ...,
    ],
    Field(max_length=MAX_PATTERNS),
]


class ScopeOptions(Open):
    """The wire's `options`: which URLs belong to the crawl."""

    include_external_links: bool = False
    include_subdomains: bool = False
    include_patterns: Patterns = ()
    exclude_patterns: Patterns = ()


class StaticOptions(Closed):
    """What every crawl may ask for; all that one with `render: false` may (variant S)."""

    url: WebUrl = Field(description="where to start", examples=["https://example.com/docs/"])
    limit: Annotated[Whole, Field(ge=1, le=MAX_URLS, description="most URLs")] = 10
    depth: Annotated[
        Whole, Field(ge=1, le=MAX_URLS, description="most links between the start and a page")
    ] = MAX_URLS
    source: Source = Field("all", description="where to take URLs from besides the start")
    formats: Annotated[
        tuple[Format, ...], Field(max_length=10, description="what to keep of a page"), AfterValidator(_once)
    ] = ("html",)
    render: bool = Field(True, description="run the pages in a browser")
    max_age: Annotated[
        float, Field(ge=0, le=MAX_AGE_SECONDS, description="use copies up to so old, seconds")
    ] = 86_400
    incremental: bool = Field(
        False, description="ask pages of the crawl before whether they have changed; maxAge does not count"
    )
    recheck_within: Annotated[float, Field(ge=1, le=MAX_RECHECK_SECONDS)] | None = Field(
        None,
        description="with incremental: ask seldom about pages that seldom change, each within so many seconds",
    )
    modified_since: Annotated[Whole, Field(gt=0)] | None = Field(
        None, description="leave out older pages; Unix time within the last year"
    )
    crawl_purposes: Annotated[
        tuple[Purpose, ...],
        Field(min_length=1, max_length=3, description="checked against Content-Signal"),
        AfterValidator(_once),
    ] = ("search", "ai-input", "ai-train")
    content_use: ContentUse = Field("full", description="checked against Content-Signal")
    json_options: JsonOptions | None = Field(None, description="for the format json")
    markdown_options: MarkdownOptions = Field(MarkdownOptions(), description="for the format markdown")
    scope: ScopeOptions = Field(ScopeOptions(), alias="options", description="which URLs belong to the crawl")

    @property
    def include_external_links(self) -> bool:
        """Whether any host belongs to the crawl."""
        return self.scope.include_external_links

    @property
    def include_subdomains(self) -> bool:
        """Whether hosts below the seed's belong to the crawl."""
        return self.scope.include_subdomains

    @property
    def include_patterns(self) -> tuple[str, ...]:
        """If there are any, a URL must match one."""
        return self.scope.include_patterns

    @property
    def exclude_patterns(self) -> tuple[str, ...]:
        """A URL must match none."""
        return self.scope.exclude_patterns


class CrawlOptions(StaticOptions):
    """A request that has been checked (variant R). Times are seconds, waits milliseconds, as on the wire."""

    browser: Literal["kitesurf"] | None = Field(
        None, description="accepted, and rendered by Chromium all the same"
    )
    action_timeout: Wait | None = None
    add_script_tag: ScriptTags = ()
    add_style_tag: StyleTags = ()
    allow_request_pattern: RequestPatterns = ()
    reject_request_pattern: RequestPatterns = ()
    allow_resource_types: ResourceTypes = ()
    reject_resource_types: ResourceTypes = ()
    authenticate: Authenticate | None = Field(None, repr=False)
    best_attempt: bool = False
    cookies: Cookies = Field((), repr=False)
    emulate_media_type: Literal["screen", "print"] | None = None
    goto_options: GotoOptions = GotoOptions()
    set_extra_http_headers: Headers = Field({}, alias="setExtraHTTPHeaders", repr=False)
    set_java_script_enabled: bool = True
    viewport: Viewport = Viewport(width=1920, height=1080)
    wait_for_selector: WaitForSelector | None = None
    wait_for_timeout: Wait | None = None

    @field_validator("cookies")
    @classmethod
    def _cookies_of_the_seed(cls, cookies: Cookies, info: ValidationInfo) -> Cookies:
        if "url" in info.data:
            seed_host = urls.host_of(info.data["url"])
            for position, cookie in enumerate(cookies):
                if problem := check_cookie(cookie, seed_host):
                    message = f"number {position} {problem}"
                    raise ValueError(message)
        return cookies

    def to_json(self) -> str:
        """The request in wire form, defaults written out: what the database keeps, and what equal requests share."""
        left_out = set() if self.render else RENDER_FIELDS
        return self.model_dump_json(exclude_none=True, exclude=left_out)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls.model_validate_json(text)


#: Attributes that only a rendered crawl has.
RENDER_FIELDS = CrawlOptions.model_fields.keys() - StaticOptions.model_fields.keys()
