"""A client of the API: the calls that the commands need, failures as our own errors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx

from api.exposure import is_loopback
from crawler.errors import ConfigurationError, CrawlError, InvalidRequest, NotFound, Unauthorized, Unavailable
from crawler.model import ACCOUNT_ID_RULE, is_account_id
from crawler.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8787"
DEFAULT_ACCOUNT = "local"

#: How often a request that the server put off (429, 503) is repeated, and how long one repetition waits at most.
_ATTEMPTS = 5
_MAX_RETRY_AFTER_SECONDS = 60.0
_READ_RECORDS = 100


class ApiClient:
    """The crawls of one account. Every call raises CrawlError with the server's own sentence when it fails."""

    def __init__(self, http: httpx.Client) -> None:
        """`http` has the account's URL as its base, and the credentials."""
        self._http = http

    def submit(self, body: Mapping[str, Any]) -> str:
        """Start a crawl and return its id."""
        # The same key in every attempt: a repetition finds the crawl that a lost answer had started.
        headers = {"Idempotency-Key": uuid4().hex}
        return str(self._call("POST", "crawl", json=body, headers=headers))

    def read(self, crawl_id: str, *, limit: int = 0, cursor: str = "0", status: str = "") -> dict[str, Any]:
        """The crawl and `limit` records after `cursor`."""
        parameters = {"limit": str(limit), "cursor": cursor, **({"status": status} if status else {})}
        result: dict[str, Any] = self._call("GET", f"crawl/{_escape(crawl_id)}", params=parameters)
        return result

    def records(self, crawl_id: str, *, status: str = "") -> Iterator[dict[str, Any]]:
        """All records that there are now, in discovery order."""
        cursor: str | None = "0"
        while cursor is not None:
            page = self.read(crawl_id, limit=_READ_RECORDS, cursor=cursor, status=status)
            yield from page["records"]
            cursor = page.get("cursor")

    def receipt(self, crawl_id: str) -> dict[str, Any]:
        """How many records ended how, and why."""
        result: dict[str, Any] = self._call("GET", f"crawl/{_escape(crawl_id)}/receipt")
        return result

    def retry(self, crawl_id: str) -> str:
        """Start a crawl of the errored pages of an ended one and return its id."""
        headers = {"Idempotency-Key": uuid4().hex}
        return str(self._call("POST", f"crawl/{_escape(crawl_id)}/retry", headers=headers))

    def go_on(self, crawl_id: str, limit: int) -> str:
        """Start a crawl of what an ended one did not come to and return its id."""
        headers = {"Idempotency-Key": uuid4().hex}
        path = f"crawl/{_escape(crawl_id)}/continue"
        return str(self._call("POST", path, json={"limit": limit}, headers=headers))

    def changes(
        self, crawl_id: str, *, against: str | None, status: str | None, diff: bool
    ) -> Iterator[dict[str, Any]]:
        """What became of the pages of a crawl, in parts; the first one has the counts of all."""
        parameters = {"diff": "true"} if diff else {}
        parameters |= {"against": against} if against else {}
        parameters |= {"status": status} if status else {}
        cursor: str | None = "0"
        while cursor is not None:
            path = f"crawl/{_escape(crawl_id)}/changes"
            part = self._call("GET", path, params={**parameters, "cursor": cursor})
            yield part
            cursor = part.get("cursor")

    def cancel(self, crawl_id: str) -> str:
        """End a crawl; returns what the server says to that."""
        return str(self._call("DELETE", f"crawl/{_escape(crawl_id)}")["message"])

    def crawls(self, *, status: str | None, limit: int) -> Iterator[dict[str, Any]]:
        """Up to `limit` crawls, newest first."""
        parameters = {"status": status} if status else {}
        while limit > 0:
            page = self._call("GET", "crawl", params={**parameters, "limit": str(min(limit, 100))})
            yield from page["crawls"]
            limit -= len(page["crawls"])
            if "cursor" not in page:
                return
            parameters["cursor"] = page["cursor"]

    def add_schedule(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make a schedule."""
        result: dict[str, Any] = self._call("POST", "schedules", json=body)
        return result

    def schedules(self) -> list[dict[str, Any]]:
        """All schedules, newest first."""
        return list(self._call("GET", "schedules")["schedules"])

    def schedule(self, schedule_id: str) -> dict[str, Any]:
        """One schedule."""
        result: dict[str, Any] = self._call("GET", f"schedules/{_escape(schedule_id)}")
        return result

    def schedule_runs(self, schedule_id: str, *, limit: int) -> list[dict[str, Any]]:
        """The last `limit` runs of a schedule, newest first."""
        path = f"schedules/{_escape(schedule_id)}/runs"
        return list(self._call("GET", path, params={"limit": str(limit)})["runs"])

    def change_schedule(self, schedule_id: str, fields: Mapping[str, object]) -> None:
        """Change these fields of a schedule."""
        self._call("PATCH", f"schedules/{_escape(schedule_id)}", json=fields)

    def run_schedule(self, schedule_id: str) -> dict[str, Any]:
        """Run a schedule besides its times; returns the run."""
        result: dict[str, Any] = self._call("POST", f"schedules/{_escape(schedule_id)}/run")
        return result

    def remove_schedule(self, schedule_id: str) -> str:
        """Remove a schedule; returns what the server says to that."""
        return str(self._call("DELETE", f"schedules/{_escape(schedule_id)}")["message"])

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        """The `result` of the answer."""
        attempt = 1
        while True:
            try:
                response = self._http.request(method, path, **arguments)
            except httpx.HTTPError as error:
                message = (
                    f"The API at {self._http.base_url.copy_with(path='/')} does not answer; is it running?"
                )
                raise Unavailable(message) from error
            if response.status_code not in (429, 503) or attempt == _ATTEMPTS:
                return _result(response)
            time.sleep(_retry_after_seconds(response))
            attempt += 1


@contextmanager
def open_client() -> Iterator[ApiClient]:
    """A client for CRAWL_API_URL, CRAWL_API_TOKEN and CRAWL_ACCOUNT_ID.

    Without a token that of a server on this machine is used, if its data folder is ours.
    """
    url = os.environ.get("CRAWL_API_URL") or DEFAULT_URL
    account = os.environ.get("CRAWL_ACCOUNT_ID") or DEFAULT_ACCOUNT
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigurationError("CRAWL_API_URL: write it as http://host:port or https://host.")
    if not is_account_id(account):
        message = f"CRAWL_ACCOUNT_ID: {ACCOUNT_ID_RULE}"
        raise ConfigurationError(message)
    base = url.rstrip("/").removesuffix("/client/v4")
    with httpx.Client(
        base_url=f"{base}/client/v4/accounts/{account}/browser-rendering",
        headers={"Authorization": f"Bearer {_find_token(url)}"},
        timeout=httpx.Timeout(60, connect=5),
        # A proxy for the open web is of no use to reach one's own server on loopback.
        trust_env=not is_loopback(urlsplit(url).hostname or ""),
    ) as http:
        yield ApiClient(http)


def _find_token(url: str) -> str:
    settings = Settings.load()
    if settings.api_token:
        return settings.api_token
    file = settings.data_dir / "token"
    # The token of this machine's server is nobody else's business.
    if is_loopback(urlsplit(url).hostname or "") and file.exists():
        return file.read_text().strip()
    raise ConfigurationError("CRAWL_API_TOKEN is not set; `crawl token create` makes a token on the server.")


def _result(response: httpx.Response) -> Any:
    """What a good answer holds; the one place that turns bad ones into errors."""
    try:
        document = response.json()
        if response.is_success:
            return document["result"]
        message = str(document["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        message = f"{response.url.host} answers {response.status_code}, but not like the crawl API; see CRAWL_API_URL."
        raise CrawlError(message) from error
    match response.status_code:
        case 400 if response.request.method in ("POST", "PATCH"):
            raise InvalidRequest(message)
        case 401 | 403:
            message = f"{message}: check CRAWL_API_TOKEN and CRAWL_ACCOUNT_ID."
            raise Unauthorized(message)
        case 404:
            raise NotFound(message)
        case 429 | 503:
            raise Unavailable(message)
        case _:
            raise CrawlError(message)


def _retry_after_seconds(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "1")
    return min(float(text) if text.isdecimal() else 1.0, _MAX_RETRY_AFTER_SECONDS)


def _escape(segment: str) -> str:
    return quote(segment, safe="")
