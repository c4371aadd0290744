"""Process settings: environment variables with the prefix `CRAWL_`, read once at start-up.

Every limit of the service is here with its default and its hard ceiling; `docs/configuration.md` lists them and a
test holds the two together.
"""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from crawler.errors import ConfigurationError

#: Our own honest identity: the product name before the slash is the robots.txt token.
DEFAULT_USER_AGENT = "OpenCrawl/0.1"

#: Ceiling of `host_down_seconds`.
LONGEST_DOWN_SECONDS = 3600

#: A tuple given in the environment as comma-separated text.
CommaList = Annotated[tuple[str, ...], NoDecode]


def default_data_dir() -> Path:
    """The user's data folder: `$XDG_DATA_HOME/crawl`, else `~/.local/share/crawl`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "crawl"


class Settings(BaseSettings):
    """All settings of one process. Build it with `load()`; tests build it with keyword arguments."""

    model_config = SettingsConfigDict(env_prefix="CRAWL_", frozen=True, extra="ignore")

    # --- where things are -------------------------------------------------------------------------------------
    data_dir: Path = Field(default_factory=default_data_dir, description="SQLite file and generated token")
    database_url: str = Field(
        "", repr=False, description="postgresql://… or sqlite:///…; empty: SQLite in the data folder"
    )
    broker_url: str = Field(
        "", repr=False, description="redis://…; empty: embedded, one process does everything"
    )
    database_pool_size: int = Field(8, ge=1, le=100, description="connections to Postgres per process")

    # --- API --------------------------------------------------------------------------------------------------
    host: str = Field("127.0.0.1", description="address that `crawl serve` binds")
    port: int = Field(8787, ge=0, le=65535, description="port that `crawl serve` binds")
    api_token: str = Field(
        "", repr=False, description="bootstrap token of the account `local`; empty: generated, stored 0600"
    )
    api_key_email: str = Field("", description="with API_KEY: also accept X-Auth-Email and X-Auth-Key")
    api_key: str = Field("", repr=False, description="see API_KEY_EMAIL")
    secret_keys: CommaList = Field(
        (), repr=False, description="base64 AES-256 keys for secrets of crawls, newest first"
    )
    allowed_hosts: CommaList = Field(
        (), description="Host names to answer to besides localhost; empty: all, unless HOST is the loopback"
    )
    max_body_bytes: int = Field(1 << 20, ge=1024, le=4 << 20, description="largest request body")
    body_timeout_seconds: float = Field(10.0, gt=0, le=60, description="time for a request body to arrive")
    rate_limit_per_second: float = Field(30.0, ge=0, description="API requests per account; 0: no limit")
    failed_logins_per_minute: int = Field(30, ge=1, description="wrong tokens from one address before 429")
    max_running_crawls: int = Field(0, ge=0, description="crawls running at once per account; 0: no limit")
    max_daily_crawls: int = Field(0, ge=0, description="crawls started per account and UTC day; 0: no limit")
    max_daily_browser_seconds: float = Field(
        0, ge=0, description="browser time per account and UTC day; 0: none"
    )
    answer_memory_bytes: int = Field(
        256 << 20, ge=1 << 20, description="memory of answers that wait for their readers, per process"
    )
    answer_seconds: float = Field(120.0, ge=1, le=3600, description="time for a reader to take a long answer")
    page_bytes: int = Field(10_000_000, ge=1000, description="size at which one answer of GET is cut")
    max_diff_chars: int = Field(65_536, ge=256, le=1 << 20, description="differences shown of one page")

    # --- politeness -------------------------------------------------------------------------------------------
    user_agent: str = Field(
        DEFAULT_USER_AGENT,
        pattern=r"^[A-Za-z_-]+/[!-~]+( [ -~]*)?$",
        description="sent with every request; the name before the slash is the robots token",
    )
    default_delay: float = Field(0.5, ge=0, le=3600, description="seconds between requests to one host")
    max_crawl_delay: float = Field(
        30.0, ge=0, le=3600, description="longest Crawl-delay that is honoured, seconds"
    )
    address_requests_per_second: float = Field(
        5.0,
        ge=0,
        le=1000,
        description="document requests to one address, all its hosts together; 0: no limit",
    )
    host_concurrency: int = Field(
        64, ge=1, le=1000, description="requests at once to a host whose delay is 0"
    )
    robots_ttl_seconds: int = Field(86_400, ge=0, le=86_400, description="how long robots.txt is kept")
    retry_after_cap_seconds: float = Field(
        120.0, ge=0, le=3600, description="longest Retry-After that is waited"
    )
    host_failures_to_wait: int = Field(
        5, ge=1, le=1000, description="failures in a row of a host after which its pages wait for it"
    )
    host_failures_to_give_up: int = Field(
        10, ge=1, le=1000, description="failures in a row of a host after which its pages end as errored"
    )
    host_down_seconds: float = Field(
        600.0, ge=0, le=LONGEST_DOWN_SECONDS, description="how long a host that was given up is not asked"
    )

    # --- way out ----------------------------------------------------------------------------------------------
    egress_allow_cidrs: CommaList = Field((), description="forbidden ranges to allow, e.g. an intranet")
    egress_deny_cidrs: CommaList = Field((), description="ranges to refuse; wins over every allow")
    egress_hosts: CommaList = Field(
        (), description="static names, name=address; the rules apply to the address"
    )
    egress_allowed_ports: CommaList = Field(("80", "443", "8000-8999"), description="target ports")
    egress_nat64_prefixes: CommaList = Field(
        (), description="NAT64 prefixes judged by the inner IPv4 address"
    )
    egress_upstream_proxy: str = Field("", description="http://host:port; its own rules decide from then on")

    # --- fetching ---------------------------------------------------------------------------------------------
    dns_timeout_seconds: float = Field(5.0, gt=0, le=30, description="name resolution")
    connect_timeout_seconds: float = Field(5.0, gt=0, le=30, description="TCP connection")
    tls_timeout_seconds: float = Field(10.0, gt=0, le=30, description="TLS handshake, connection included")
    first_byte_timeout_seconds: float = Field(15.0, gt=0, le=120, description="from request to first byte")
    fetch_timeout_seconds: float = Field(30.0, gt=0, le=120, description="static fetch of one URL, in total")
    max_redirects: int = Field(10, ge=0, le=20, description="redirects of one document")
    max_document_bytes: int = Field(
        10 << 20, ge=1024, le=50 << 20, description="body, on the wire and decoded"
    )
    max_robots_bytes: int = Field(
        500 * 1024, ge=1024, le=500 * 1024, description="robots.txt, rest is dropped"
    )
    max_sitemap_bytes: int = Field(50 << 20, ge=1024, le=50 << 20, description="one sitemap, decoded")
    max_sitemap_urls: int = Field(50_000, ge=1, le=50_000, description="URLs taken from one sitemap")
    max_sitemaps: int = Field(50, ge=1, le=1000, description="sitemap files per crawl")
    max_sitemap_depth: int = Field(3, ge=1, le=10, description="levels of sitemap indexes")
    max_held_pages: int = Field(
        1_000, ge=1, le=100_000, description="pages whose links beyond a crawl's limit are kept to go on from"
    )
    max_links_per_page: int = Field(5_000, ge=1, le=50_000, description="links taken from one page")
    max_url_chars: int = Field(2_048, ge=256, le=8_192, description="longest discovered URL")
    max_record_bytes: int = Field(
        9 << 20, ge=1024, le=50 << 20, description="one record, all formats together"
    )
    convert_timeout_seconds: float = Field(
        20.0, gt=0, le=60, description="HTML to Markdown, in its own process"
    )
    convert_processes: int = Field(1, ge=1, le=64, description="converter processes per worker process")
    convert_pages_per_process: int = Field(500, ge=1, description="pages before a converter is replaced")
    convert_memory_bytes: int = Field(
        1 << 30, ge=128 << 20, description="address space of a converter process"
    )
    markdown: Literal["builtin", "markdownify"] = Field("builtin", description="Markdown converter")

    # --- rendering --------------------------------------------------------------------------------------------
    chromium: Path | None = Field(None, description="browser to use instead of the first one found")
    allow_unsandboxed: bool = Field(False, description="let root render without Chromium's sandbox")
    render_timeout_seconds: float = Field(90.0, gt=0, le=180, description="wall clock of one rendered page")
    settle_seconds: float = Field(
        2.0, ge=0, le=30, description="longest wait for a page's scripts to come to rest"
    )
    pages_per_browser: int = Field(1_000, ge=1, description="navigations before the browser is replaced")
    browser_lifetime_seconds: float = Field(
        900.0, gt=0, le=86_400, description="age at which the browser is replaced"
    )
    browser_retry_seconds: float = Field(
        60.0, ge=0.1, le=3600, description="longest wait between two tries to start a browser"
    )
    contexts_per_browser: int = Field(16, ge=1, le=64, description="crawls whose cookies one browser keeps")
    navigations_per_page: int = Field(50, ge=1, description="navigations before a page is replaced")
    browser_memory_bytes: int = Field(
        1536 << 20, ge=256 << 20, description="process tree before it is replaced"
    )
    max_page_bytes: int = Field(50 << 20, ge=1 << 20, description="all traffic of one rendered page")
    max_page_requests: int = Field(1_000, ge=1, description="requests of one rendered page")
    max_page_connections: int = Field(64, ge=1, description="connections of one rendered page")
    max_dom_nodes: int = Field(500_000, ge=1000, description="nodes of a rendered document")
    max_html_bytes: int = Field(8 << 20, ge=1024, description="serialised DOM")

    # --- language models --------------------------------------------------------------------------------------
    ai_base_url: str = Field(
        "", description="default OpenAI-compatible endpoint, https://host/v1; may be a private address"
    )
    ai_api_key: str = Field("", repr=False, description="key of AI_BASE_URL; empty: none is sent")
    ai_model: str = Field("", max_length=256, description="model of AI_BASE_URL for crawls that name none")
    ai_providers: str = Field(
        "", repr=False, description="models that a request may name: JSON, or @file; see docs/json.md"
    )
    ai_timeout_seconds: float = Field(60.0, gt=0, le=600, description="one answer of a model")
    ai_concurrency: int = Field(4, ge=1, le=256, description="questions to models at once per process")
    ai_max_input_chars: int = Field(60_000, ge=1_000, le=2_000_000, description="page text sent, rest is cut")
    ai_max_output_tokens: int = Field(4_096, ge=16, le=131_072, description="longest answer of a model")
    ai_max_page_tokens: int = Field(
        100_000, ge=100, description="tokens for one page, all questions together"
    )
    ai_max_crawl_tokens: int = Field(2_000_000, ge=0, description="tokens for one crawl; 0: no limit")
    ai_max_crawl_cost: float = Field(
        0, ge=0, description="cost of one crawl by the prices given; 0: no limit"
    )

    # --- work -------------------------------------------------------------------------------------------------
    static_slots: int = Field(32, ge=1, le=1000, description="pages in flight per static worker process")
    render_slots: int = Field(
        4, ge=1, le=64, description="pages that load at once per rendering worker process"
    )
    min_free_memory_bytes: int = Field(
        128 << 20,
        ge=0,
        description="with less free no more pages are begun; at most an eighth of all counts; 0: any",
    )
    lease_seconds: float = Field(
        60.0, ge=1, le=3600, description="a page that is silent so long is taken back"
    )
    max_attempts: int = Field(3, ge=1, le=10, description="leases of one URL before it ends as errored")
    full_check_every: int = Field(
        10, ge=1, description="of so many incremental crawls, one fetches a page whatever its origin says"
    )
    pump_seconds: float = Field(30.0, ge=0.1, le=600, description="budget of one pump run")
    tick_seconds: float = Field(2.0, ge=0.05, le=60, description="period of the scheduler's tick")
    max_crawl_seconds: int = Field(7 * 86_400, ge=1, description="a crawl that runs longer is ended")
    retention_seconds: int = Field(14 * 86_400, ge=1, description="results are kept so long after the end")
    expiry_batch_rows: int = Field(
        1000, ge=10, le=1000, description="rows past their retention that one transaction deletes at most"
    )
    expiry_batch_ms: float = Field(
        20.0, ge=1, le=200, description="time that such a transaction shall take, if it has over 100 rows"
    )
    stop_seconds: float = Field(25.0, ge=0, le=300, description="pages in flight may go on so long at a stop")

    # --- schedules --------------------------------------------------------------------------------------------
    max_schedules: int = Field(100, ge=0, le=10_000, description="schedules per account")
    min_schedule_interval_seconds: int = Field(
        60, ge=1, le=86_400, description="least time between two due times of a schedule"
    )
    schedule_grace_seconds: float = Field(
        60.0, ge=1, le=86_400, description="a due time that is decided later was missed"
    )
    max_catch_up_runs: int = Field(
        24, ge=1, le=500, description="missed due times that `catchUp: all` makes up for"
    )
    max_queued_runs: int = Field(
        10, ge=1, le=500, description="runs of a schedule that wait for the one before"
    )

    # --- logs -------------------------------------------------------------------------------------------------
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level logged")
    log_format: Literal["console", "json"] = Field("console", description="form of log lines on stderr")

    # --- metrics ----------------------------------------------------------------------------------------------
    metrics_host: str = Field("127.0.0.1", description="address where workers show their metrics")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port of a worker's first process, others take the next ones; 0: none"
    )

    @field_validator(
        "allowed_hosts",
        "secret_keys",
        "egress_allow_cidrs",
        "egress_deny_cidrs",
        "egress_hosts",
        "egress_allowed_ports",
        "egress_nat64_prefixes",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("egress_allow_cidrs", "egress_deny_cidrs", "egress_nat64_prefixes")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ip_network(text, strict=False)
        return value

    @property
    def robots_token(self) -> str:
        """The product name of the user agent: how robots.txt calls us."""
        return self.user_agent.split("/", 1)[0]

    @property
    def address_gap_seconds(self) -> float:
        """Time between two requests to one address; never more than a single host there is left alone. 0: none."""
        rate = self.address_requests_per_second
        return min(1 / rate, self.default_delay) if rate else 0.0

    @property
    def embedded(self) -> bool:
        """Whether this process does everything itself: no broker is configured."""
        return not self.broker_url

    @property
    def database(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir / 'crawl.db'}"

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the environment. Raises ConfigurationError with one sentence that names the variable."""
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors()[0]
            name = "CRAWL_" + "_".join(str(part) for part in first["loc"]).upper()
            message = f"{name}: {first['msg']}"
            raise ConfigurationError(message) from error
