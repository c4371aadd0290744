"""A client that never stops reading, and remembers everything that it was told."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

import httpx

from tests.faults.evidence import Comparison, Walk

#: Small, so that one walk takes many cursors.
_PAGE = 7
#: What a client may see while parts of the service are away.
_FINE = frozenset({200, 503})


class Poller:
    """`with Poller(url, token) as poller:` walks over all crawls of `poller.crawl_ids` and all runs of
    `poller.schedule_ids`, again and again."""

    def __init__(self, base_url: str, token: str) -> None:
        self.walks: list[Walk] = []
        self.bad_answers: list[str] = []
        self.crawl_ids: list[str] = []
        self.schedule_ids: list[str] = []
        #: Readings of the runs of a schedule: what was said of each, by its id.
        self.histories: list[tuple[str, dict[int, dict[str, Any]]]] = []
        self.base_url = f"{base_url}/accounts/local/browser-rendering/crawl"
        self.headers = {"Authorization": f"Bearer {token}"}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poller")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def status(self, crawl_id: str) -> str:
        """What the crawl's status was when it was last read."""
        return next((walk.status for walk in reversed(self.walks) if walk.crawl_id == crawl_id), "")

    def walk(self, client: httpx.Client, crawl_id: str) -> Walk | None:
        """Read a crawl from its beginning. None: something is away."""
        records: list[dict[str, Any]] = []
        parameters: dict[str, str | int] = {"limit": _PAGE}
        while True:
            answer = self._get(client, f"{self.base_url}/{crawl_id}", parameters)
            if answer is None:
                return None
            records += answer["records"]
            cursor = answer.get("cursor")
            if cursor is None:
                break
            parameters = {"limit": _PAGE, "cursor": cursor}
        return Walk(crawl_id, answer["status"], answer["total"], answer["finished"], tuple(records))

    def _run(self) -> None:
        with httpx.Client(headers=self.headers, timeout=60, verify=False) as client:
            while not self._stop.is_set():
                for crawl_id in list(self.crawl_ids):
                    walk = self.walk(client, crawl_id)
                    if walk is not None:
                        self.walks.append(walk)
                for schedule_id in list(self.schedule_ids):
                    url = f"{self.base_url.removesuffix('crawl')}schedules/{schedule_id}/runs"
                    answer = self._get(client, url, {"limit": 1_000})
                    if answer is not None:
                        self.histories.append((schedule_id, {run["id"]: run for run in answer["runs"]}))
                self._stop.wait(0.2)

    def _get(self, client: httpx.Client, url: str, parameters: dict[str, str | int]) -> dict[str, Any] | None:
        try:
            answer = client.get(url, params=parameters)
        except httpx.TransportError:
            time.sleep(0.1)  # the API is away
            return None
        if answer.status_code not in _FINE:
            self.bad_answers.append(f"GET {answer.status_code} {answer.text[:200]}")
        if answer.status_code != 200:
            return None
        result: dict[str, Any] = answer.json()["result"]
        return result


async def read_changes(client: httpx.AsyncClient, base_url: str, crawl_id: str) -> Comparison:
    """What the API tells of an ended crawl about the changes since the one before."""
    pages: list[tuple[str, str]] = []
    first: dict[str, Any] = {}
    cursor: str | None = "0"
    while cursor is not None:
        answer = await client.get(f"{base_url}/{crawl_id}/changes", params={"limit": _PAGE, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        first = first or result
        pages += [(page["url"], page["status"]) for page in result["pages"]]
        cursor = result.get("cursor")
    counts = {status: number for status, number in first["counts"].items() if number}
    return Comparison(crawl_id, first["against"], counts, tuple(pages))
