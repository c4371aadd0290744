"""A client that crawls again what was crawled, in every way that there is, by a seed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.faults.evidence import Child
from tests.faults.origin import HOSTS
from tests.faults.rig import Rig

#: Host, pages, and seconds between two due times: so that some runs end before the next one is due and some do not.
_SCHEDULES = (("h0.test", 5, 5), ("h2.test", 7, 7))
#: Pages of the origin that change at each step.
_EDITS = 3
_OVERLAPS = ("skip", "queue", "cancel_previous")


class Recrawler:
    """Starts the crawls of a random run. What it is told it notes in the rig."""

    def __init__(self, rig: Rig, seed: int, client: httpx.AsyncClient) -> None:
        self._rig = rig
        self._client = client
        # Not the numbers of the faults: what can be crawled again is a matter of time, and they are to stay the same.
        self._random = random.Random(f"recrawls of {seed}")
        self._ways: Mapping[str, Callable[[], Awaitable[None]]] = {
            "new": self._new,
            "copies": self._copies,
            "incremental": self._incremental,
            "retry": self._retry,
            "continue": self._continue,
            "run now": self._run_now,
        }

    async def add_schedules(self, seconds: float) -> None:
        """Two schedules that are over after so many seconds."""
        ends = datetime.now(UTC) + timedelta(seconds=seconds)
        for number, (host, size, interval) in enumerate(_SCHEDULES):
            url = self._rig.origin.url(host, f"s{number}", size)
            body = {
                "intervalSeconds": interval,
                "endAt": ends.isoformat(timespec="milliseconds"),
                "overlap": self._random.choice(_OVERLAPS),
                "crawl": self._rig.body(url),
            }
            schedule = await self._post("schedules", body)
            assert schedule is not None
            self._rig.schedules[schedule["id"]] = url
            self._rig.poller.schedule_ids.append(schedule["id"])

    async def step(self, *, most: int) -> None:
        """Change pages of some trees, and start a crawl unless there are as many."""
        for _ in range(_EDITS):
            url = self._random.choice([*self._rig.accepted.values(), *self._rig.schedules.values()])
            root = urlsplit(url).path
            size = int(root.split("/")[2])
            self._rig.origin.edit(root.removesuffix("0") + str(self._random.randrange(size)))
        if len(self._rig.accepted) < most:
            await self._ways[self._random.choice(list(self._ways))]()

    async def _new(self) -> None:
        await self._rig.try_post(
            self._client,
            host=self._random.choice(HOSTS),
            size=self._random.choice((3, 10, 25)),
            limit=self._random.choice((6, 100)),
        )

    async def _copies(self) -> None:
        await self._again(maxAge=self._random.choice((15, 86_400)))

    async def _incremental(self) -> None:
        await self._again(incremental=True)

    async def _again(self, **fields: Any) -> None:
        # One on h2 has a secret and is never worked on.
        urls = sorted({url for url in self._rig.accepted.values() if "h2.test" not in url})
        await self._rig.try_post(self._client, url=self._random.choice(urls), **fields)

    async def _retry(self) -> None:
        await self._child("retry", None, Child(self._ended(), "retry"))

    async def _continue(self) -> None:
        limit = 60
        await self._child("continue", {"limit": limit}, Child(self._ended(), "continue", limit))

    def _ended(self) -> str:
        """A crawl of our own that has ended, any that is there if none has: its answer is a refusal."""
        of_ours = [crawl for crawl in self._rig.accepted if "h2.test" not in self._rig.accepted[crawl]]
        ended = [crawl for crawl in of_ours if self._rig.poller.status(crawl) not in {"", "running"}]
        return self._random.choice(ended or of_ours)

    async def _child(self, path: str, body: dict[str, Any] | None, child: Child) -> None:
        child_id = await self._post(f"crawl/{child.parent_id}/{path}", body)
        if child_id is not None:
            self._rig.accept(child_id, self._rig.accepted[child.parent_id])
            self._rig.continued[child_id] = child

    async def _run_now(self) -> None:
        schedule_id = self._random.choice(list(self._rig.schedules))
        run = await self._post(f"schedules/{schedule_id}/run", None)
        if run is not None:
            self._rig.runs.add(run["id"])

    async def _post(self, path: str, body: dict[str, Any] | None) -> Any:
        """The result; None when something is away, or there is nothing to go on with."""
        url = f"{self._rig.poller.base_url.removesuffix('/crawl')}/{path}"
        answer = await self._client.post(url, json=body)
        if answer.status_code in {400, 503}:
            return None
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]
