"""Rules of crawling a page again: which pages may stand for one another, which copy may be used, what to ask an origin.

Four ways spare a fetch. `maxAge` uses a copy without asking (contract B.7). `incremental` asks the origin whether the
page of the crawl before is still the page, and with `recheckWithin` asks the less often the longer the page has not
changed. `modifiedSince` asks whether it has changed since then (contract B.8).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from pydantic import JsonValue

from crawler import urls
from crawler.model import Response, Stored
from crawler.options import CrawlOptions
from crawler.settings import Settings

#: Part of every fingerprint: raise it when the same page would give another record than before.
_EDITION = 2
#: They decide which pages a crawl has, not what is in a record of it. A field that is not named here shapes records.
_SHAPELESS = frozenset(
    {
        "url",
        "limit",
        "depth",
        "source",
        "max_age",
        "modified_since",
        "incremental",
        "recheck_within",
        "crawl_purposes",
        "content_use",
        "scope",
    }
)
#: RFC 9110 section 5.6: a token, and perhaps a value that is a token or a quoted string.
_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~\w-]+)(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s,]*))?""", re.ASCII)
#: RFC 9111 section 5.2.2: not to be kept, of one reader only, not to be used without asking.
_KEEPS_OUT = frozenset({"no-store", "private", "no-cache"})

#: `Stored.confirmed` of a page whose origin has said "not modified" of a page that was.
LIAR = -1

#: A page that has not changed for a time is left alone for half as long again. So its waits grow as long as it stays
#: the same, fall back to nothing when it changes, and keep in proportion to how often the site is crawled.
_SHARE_OF_STEADY = 0.5
#: Sitemaps may name the day of a change and no more.
_DAY_MS = 86_400_000

#: The reason of pages that `modifiedSince` leaves out.
NOT_MODIFIED = "not_modified"
CACHE_STATUS = "cacheStatus"
AGE = "age"


def shape(account_id: str, options: CrawlOptions, settings: Settings) -> str:
    """All that decides how a record of a given URL comes out: equal texts, equal records. It holds the secrets of the
    request, so keep nothing but a keyed hash of it."""
    asked = json.loads(options.model_dump_json(exclude=set(_SHAPELESS)))
    ours = [settings.user_agent, settings.markdown, settings.ai_base_url, settings.ai_model]
    return json.dumps([_EDITION, account_id, *ours, asked], sort_keys=True)


def reuse_key(fingerprint: str, url: str) -> str:
    """What pages have in common that may stand for one another: account, shape and URL."""
    return urls.key(f"{fingerprint} {url}")


def lacks_answer(details: Mapping[str, JsonValue]) -> bool:
    """Whether a model gave no JSON for this record: next time it may, so the record stands for no other."""
    return details.get("jsonSource") == "model" and "jsonReason" in details


def is_plain(options: CrawlOptions) -> bool:
    """Whether the crawl sends nothing of its own: no cookies, no password, no headers."""
    return not (options.cookies or options.authenticate or options.set_extra_http_headers)


def may_keep(options: CrawlOptions, response: Response) -> bool:
    """Whether other crawls of the account may use this answer without asking (RFC 9111 section 3, security C23 to C25).

    Not what a crawl with credentials or headers of its own got, what sets a cookie, or came by way of a redirect,
    whose own headers are not known here. How long an origin calls an answer fresh does not count: `maxAge` is the
    client's own word on that.
    """
    headers = response.headers
    return (
        response.status == 200
        and is_plain(options)
        and not response.redirects
        and "set-cookie" not in headers
        and headers.get("vary", "").strip() != "*"
        and not _KEEPS_OUT & directives(headers.get("cache-control", ""))
    )


def directives(cache_control: str) -> frozenset[str]:
    """The names of the directives of a Cache-Control field, in lower case (RFC 9111 section 5.2)."""
    return frozenset(match[1].lower() for match in _DIRECTIVE.finditer(cache_control))


def validators(stored: Stored) -> dict[str, str]:
    """The headers that ask whether this is still the page (RFC 9110 section 13.1); empty where nothing can be asked."""
    headers = {}
    if stored.etag:
        headers["if-none-match"] = stored.etag
    if stored.last_modified and _date(stored.last_modified) is not None:
        headers["if-modified-since"] = stored.last_modified
    return headers


def is_believed(stored: Stored, *, every: int) -> bool:
    """Whether to ask instead of fetching: not where the origin was caught lying, nor in every n-th crawl, where it
    could be."""
    return stored.confirmed != LIAR and stored.confirmed + 1 < every


def confirmed_after_fetch(
    stored: Stored | None, etag: str | None, last_modified: str | None, *, same: bool
) -> int:
    """The page's `confirmed` after it was fetched in full; `same`: its text is that of `stored`.

    Validators that stay while the text changes would have hidden the change. An origin that did this is asked again
    once it has sent other validators.
    """
    if (
        stored is None
        or not (etag or last_modified)
        or (stored.etag, stored.last_modified) != (etag, last_modified)
    ):
        return 0
    return LIAR if not same or stored.confirmed == LIAR else 0


def is_due(stored: Stored, *, within_seconds: float, lastmod_at: int | None) -> bool:
    """Whether the origin is to be asked about the page again, or it is taken to be as it was.

    It is asked once its last answer is older than `within_seconds`, or than half of the time for which the page had
    stayed the same by then; and where the sitemap names a change that may be later than that answer (`lastmod_at`,
    milliseconds since the epoch).
    """
    if stored.steady_ms is None or stored.asked_at is None:
        return True
    if lastmod_at is not None and lastmod_at > stored.asked_at - _DAY_MS:
        return True
    return not 0 <= stored.age_ms < min(within_seconds * 1000, stored.steady_ms * _SHARE_OF_STEADY)


def steady_ms_after(stored: Stored | None, *, same: bool) -> int:
    """The page's `steady_ms` once its origin has answered, milliseconds; `same`: it is as `stored` has it."""
    if stored is None or stored.steady_ms is None or not same:
        return 0
    return stored.steady_ms + max(0, stored.age_ms)


def is_older(last_modified: str | None, since: int | None) -> bool:
    """Whether a Last-Modified field names a time before `since`, Unix seconds; False where either is not known."""
    date = None if last_modified is None else _date(last_modified)
    return since is not None and date is not None and date < datetime.fromtimestamp(since, UTC)


def http_date(seconds: int) -> str:
    """Unix time as HTTP writes it (RFC 9110 section 5.6.7)."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def details_of_copy(stored: Stored, status: str) -> dict[str, JsonValue]:
    """The additive members of a record that was not fetched: `hit` for a copy, `revalidated` for one that the origin
    confirmed, `not_due` for one that it was not asked about; and how long ago it was fetched or last confirmed, in
    seconds."""
    # What a model cost was paid once.
    kept = {name: value for name, value in stored.details.items() if name != "jsonTokens"}
    return {**kept, CACHE_STATUS: status, AGE: max(0, stored.age_ms) // 1000}


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
