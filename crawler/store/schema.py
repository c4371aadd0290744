"""The tables. Times are milliseconds since the epoch by the database's own clock, `crawl_now()`.

Invariants that the database itself holds (see `migrations/`): one row per URL, role and crawl; statuses from a closed
list; a leased row has a token and an end; a terminal URL or crawl never changes (triggers).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from crawler.model import CrawlStatus, Kind, Role, UrlStatus

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: SQLite only counts up by itself in a column that is exactly INTEGER.
Identity = BigInteger().with_variant(Integer(), "sqlite")


def _one_of(column: str, values: type[CrawlStatus | UrlStatus | Role | Kind]) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


accounts = Table(
    "accounts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("label", String(200), nullable=False, server_default=""),
    Column("scope", String(16), nullable=False),
    Column("secret_hash", LargeBinary(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    CheckConstraint("scope IN ('read', 'write', 'admin')", name="scope"),
)

crawls = Table(
    "crawls",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    #: The crawl that this one continues or retries. No foreign key: it may be deleted before this one is.
    Column("parent_id", String(36)),
    #: The secrets themselves are in `crawl_secrets` while the crawl runs.
    Column("had_secrets", Boolean, nullable=False, server_default=text("false")),
    Column("status", String(32), nullable=False),
    Column("seed_url", Text, nullable=False),
    #: The validated request as JSON, `crawler.options.CrawlOptions`.
    Column("options", Text, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("url_limit", Integer, nullable=False),
    Column("max_depth", Integer, nullable=False),
    Column("idempotency_key", String(255)),
    Column("request_hash", String(64), nullable=False),
    #: Equal for crawls of one account whose requests shape a page alike (`crawler.recrawl.shape`).
    Column("fingerprint", String(32), nullable=False, server_default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("deadline_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("error", Text),
    Column("browser_ms", BigInteger, nullable=False, server_default="0"),
    #: Discovery order: the next `urls.seq`.
    Column("next_seq", Integer, nullable=False, server_default="1"),
    #: Counters of records by status; `queued` includes leased ones.
    Column("queued", Integer, nullable=False, server_default="0"),
    Column("completed", Integer, nullable=False, server_default="0"),
    Column("errored", Integer, nullable=False, server_default="0"),
    Column("disallowed", Integer, nullable=False, server_default="0"),
    Column("skipped", Integer, nullable=False, server_default="0"),
    Column("cancelled", Integer, nullable=False, server_default="0"),
    #: Frontier rows that are no records: sitemaps still to read, and sitemaps named so far.
    Column("sitemaps_open", Integer, nullable=False, server_default="0"),
    Column("sitemaps_total", Integer, nullable=False, server_default="0"),
    #: Pages with links in `held_links`: those wait for their turn, or are beyond the limit when the crawl has ended.
    Column("held", Integer, nullable=False, server_default="0"),
    _one_of("status", CrawlStatus),
    _one_of("kind", Kind),
    CheckConstraint("(status = 'running') = (ended_at IS NULL)", name="ended"),
    CheckConstraint("queued + completed + errored + disallowed + cancelled <= url_limit", name="limit"),
    UniqueConstraint("account_id", "idempotency_key"),
    Index("ix_crawls_account", "account_id", "created_at", "id"),
    Index("ix_crawls_fingerprint", "fingerprint", "created_at"),
    Index(
        "ix_crawls_running",
        "deadline_at",
        postgresql_where=text("status = 'running'"),
        sqlite_where=text("status = 'running'"),
    ),
    Index(
        "ix_crawls_expiry",
        "expires_at",
        postgresql_where=text("expires_at IS NOT NULL"),
        sqlite_where=text("expires_at IS NOT NULL"),
    ),
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", Identity, primary_key=True, autoincrement=True),
    Column("name", String(255), nullable=False, unique=True),
    #: No request to this host may start earlier. Only ever moves forward.
    Column("next_fetch_at", BigInteger, nullable=False, server_default="0"),
    #: From robots.txt, for our token; NULL: the default delay is in force.
    Column("crawl_delay_ms", Integer),
    #: Whose turn the next one is: the account whose page was handed out last, or queued when none was waiting.
    Column("account_id", String(64), nullable=False, server_default=""),
    #: Whether URLs may be queued here. A lease that finds none clears it, an insert sets it.
    Column("waiting_static", Boolean, nullable=False, server_default=text("false")),
    Column("waiting_render", Boolean, nullable=False, server_default=text("false")),
    Index(
        "ix_hosts_waiting_static",
        "next_fetch_at",
        postgresql_where=text("waiting_static"),
        sqlite_where=text("waiting_static"),
    ),
    Index(
        "ix_hosts_waiting_render",
        "next_fetch_at",
        postgresql_where=text("waiting_render"),
        sqlite_where=text("waiting_render"),
    ),
    *(
        Index(
            f"ix_hosts_account_{kind}",
            "account_id",
            "next_fetch_at",
            postgresql_where=text(f"waiting_{kind}"),
            sqlite_where=text(f"waiting_{kind}"),
        )
        for kind in Kind
    ),
)

circuits = Table(
    "circuits",
    metadata,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False),
    #: `https://host[:port]`; there is a row only while it fails.
    Column("origin", String(300), primary_key=True),
    #: Failed requests in a row, why the last one did, and what follows from it (`crawler.politeness.Circuit`).
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failure", String(32), nullable=False, server_default=""),
    Column("pause_ms", Integer, nullable=False, server_default="0"),
    Column("down_until_at", BigInteger, nullable=False, server_default="0"),
    #: No page of this origin is handed out earlier.
    Column("next_try_at", BigInteger, nullable=False, server_default="0"),
    Index("ix_circuits_next_try", "next_try_at"),
)

addresses = Table(
    "addresses",
    metadata,
    #: An IP address, as text. Rows that say nothing any more are deleted by the tick.
    Column("address", String(45), primary_key=True),
    #: The only host that has asked; NULL: there were several.
    Column("host", String(255)),
    #: No request to this address may start earlier, whatever host it is for.
    Column("next_at", BigInteger, nullable=False),
    #: When the next host that is turned away shall ask again: each gets a time of its own.
    Column("ask_again_at", BigInteger, nullable=False, server_default="0"),
)

urls = Table(
    "urls",
    metadata,
    Column("id", Identity, primary_key=True, autoincrement=True),
    Column("crawl_id", ForeignKey("crawls.id", ondelete="CASCADE"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("role", String(9), nullable=False),
    Column("url", Text, nullable=False),
    #: `crawler.urls.key(url)`: short enough for an index whatever the URL's length.
    Column("url_key", String(22), nullable=False),
    #: A row of `hosts`, which are never deleted. No foreign key: its check would lock the host's row, which every
    #: claim wants, for the length of each insert.
    Column("host_id", Identity),
    Column("kind", String(8), nullable=False),
    #: Order of leasing within a crawl. A page's is its seq; sitemaps are spread between pages, so that pages are
    #: crawled while the rest of many sitemaps is still being read.
    Column("rank", Integer, nullable=False),
    Column("depth", Integer, nullable=False),
    Column("status", String(10), nullable=False),
    Column("reason", String(64), nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before_at", BigInteger, nullable=False, server_default="0"),
    Column("lease_token", String(36)),
    Column("leased_until_at", BigInteger),
    Column("http_status", Integer),
    Column("final_url", Text),
    Column("title", Text),
    Column("last_modified", Text),
    Column("browser_ms", Integer, nullable=False, server_default="0"),
    #: About the size of the record in an answer, so that pages are cut without reading bodies.
    Column("record_bytes", Integer, nullable=False, server_default="0"),
    Column("finished_at", BigInteger),
    #: JSON object: members of the record beyond Cloudflare's.
    Column("details", Text),
    #: As the origin sent it, byte for byte.
    Column("etag", Text),
    #: Of the normalised main text: tells whether the page changed between two crawls.
    Column("content_hash", String(32)),
    #: Equal for pages that may stand for one another (`crawler.recrawl.reuse_key`); NULL: this one may not.
    Column("reuse_key", String(22)),
    #: How many crawls in a row have believed that the page is as it was: "not modified", or it was not due.
    Column("confirmed", Integer, nullable=False, server_default="0"),
    #: For how long the page had been seen without a change when its origin was last asked, and when that was; NULL:
    #: it is asked in every crawl.
    Column("steady_ms", BigInteger),
    Column("asked_at", BigInteger),
    #: When the page changed, by the sitemap that named it.
    Column("lastmod_at", BigInteger),
    _one_of("role", Role),
    _one_of("kind", Kind),
    _one_of("status", UrlStatus),
    CheckConstraint(
        "(status = 'leased') = (lease_token IS NOT NULL AND leased_until_at IS NOT NULL)", name="lease"
    ),
    UniqueConstraint("crawl_id", "seq"),
    UniqueConstraint("crawl_id", "url_key", "role"),
    Index(
        "ix_urls_ready",
        "host_id",
        "kind",
        "rank",
        postgresql_where=text("status = 'queued'"),
        sqlite_where=text("status = 'queued'"),
    ),
    Index(
        "ix_urls_leased",
        "host_id",
        postgresql_where=text("status = 'leased'"),
        sqlite_where=text("status = 'leased'"),
    ),
    Index("ix_urls_status", "crawl_id", "status", "seq"),
    Index(
        "ix_urls_reuse",
        "reuse_key",
        "finished_at",
        postgresql_where=text("reuse_key IS NOT NULL"),
        sqlite_where=text("reuse_key IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

contents = Table(
    "contents",
    metadata,
    #: SHA-256 of the text.
    Column("digest", LargeBinary(32), primary_key=True),
    #: The text, zstd-compressed UTF-8.
    Column("data", LargeBinary, nullable=False),
    #: When it was last stored or seen in use; about, see `crawler.store.contents`.
    Column("used_at", BigInteger, nullable=False),
    Index("ix_contents_used", "used_at"),
)


def _content(name: str) -> Column[bytes]:
    return Column(name, ForeignKey("contents.digest"))


bodies = Table(
    "bodies",
    metadata,
    Column("url_id", ForeignKey("urls.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    _content("html"),
    _content("markdown"),
    _content("json"),
    #: zstd-compressed JSON: every link of the page, for a crawl that gets the page without fetching it.
    Column("links", LargeBinary),
    *(
        Index(
            f"ix_bodies_{name}",
            name,
            postgresql_where=text(f"{name} IS NOT NULL"),
            sqlite_where=text(f"{name} IS NOT NULL"),
        )
        for name in ("html", "markdown", "json")
    ),
)

crawl_secrets = Table(
    "crawl_secrets",
    metadata,
    Column("crawl_id", ForeignKey("crawls.id", ondelete="CASCADE"), primary_key=True),
    #: See `crawler.store.secrets`.
    Column("sealed", LargeBinary, nullable=False),
)

crawl_spend = Table(
    "crawl_spend",
    metadata,
    Column("crawl_id", ForeignKey("crawls.id", ondelete="CASCADE"), primary_key=True),
    #: What language models were asked and what that cost: see `crawler.store.spend`.
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost", BigInteger, nullable=False, server_default="0"),
)

held_links = Table(
    "held_links",
    metadata,
    Column("crawl_id", ForeignKey("crawls.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("depth", Integer, nullable=False),
    #: zstd-compressed JSON: `found` in document order, and the `host_ids` of their hosts.
    Column("links", LargeBinary, nullable=False),
    Index("ix_held_links_depth", "crawl_id", "depth"),
)

robots = Table(
    "robots",
    metadata,
    Column("origin", String(300), primary_key=True),
    #: `found` (body holds it), `none` (no rules: everything is allowed), `unreachable`.
    Column("state", String(11), nullable=False),
    Column("body", LargeBinary),
    Column("reason", String(64), nullable=False, server_default=""),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("fetched_at", BigInteger, nullable=False, server_default="0"),
    Column("expires_at", BigInteger, nullable=False, server_default="0"),
    #: Someone is fetching it until then; others wait instead of asking the host twice.
    Column("fetching_until_at", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("state IN ('found', 'none', 'unreachable')", name="state"),
    Index("ix_robots_expiry", "expires_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", Identity, primary_key=True, autoincrement=True),
    Column("crawl_id", ForeignKey("crawls.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    #: `crawler.schedules.ScheduleRule` as JSON.
    Column("rule", Text, nullable=False),
    #: The request of each crawl as JSON, without its secrets; these are in `sealed` until the schedule is removed.
    Column("options", Text, nullable=False),
    Column("sealed", LargeBinary),
    #: Counts changes by the owner: what was decided for an older version is not carried out.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("anchor_at", BigInteger, nullable=False),
    Column("next_due_at", BigInteger),
    Column("last_crawl_id", String(36)),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_schedules_account", "account_id", "created_at", "id"),
    Index(
        "ix_schedules_due",
        "next_due_at",
        postgresql_where=text("next_due_at IS NOT NULL"),
        sqlite_where=text("next_due_at IS NOT NULL"),
    ),
)

schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("id", Identity, primary_key=True, autoincrement=True),
    Column("schedule_id", ForeignKey("schedules.id", ondelete="CASCADE"), nullable=False),
    Column("due_at", BigInteger, nullable=False),
    #: Asked for by its owner, not by the rule.
    Column("is_manual", Boolean, nullable=False, server_default=text("false")),
    Column("status", String(15), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    #: No foreign key: the history outlives the crawl.
    Column("crawl_id", String(36)),
    Column("decided_at", BigInteger, nullable=False),
    CheckConstraint(
        "status IN ('ran', 'queued', 'skipped_overlap', 'skipped_paused', 'missed', 'refused')", name="status"
    ),
    Index("ix_schedule_runs_schedule", "schedule_id", "id"),
    Index("ix_schedule_runs_decided", "decided_at"),
    #: What makes two schedulers fire a due time once.
    Index(
        "uq_schedule_runs_due",
        "schedule_id",
        "due_at",
        unique=True,
        postgresql_where=text("NOT is_manual"),
        sqlite_where=text("NOT is_manual"),
    ),
    Index(
        "ix_schedule_runs_queued",
        "schedule_id",
        "id",
        postgresql_where=text("status = 'queued'"),
        sqlite_where=text("status = 'queued'"),
    ),
    sqlite_autoincrement=True,
)
