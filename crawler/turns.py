"""A host's turn at the moment of dialling (`docs/adr/0004-turns-that-are-late.md`)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from crawler.errors import LeaseLost
from crawler.model import Lease
from crawler.store.frontier import Frontier
from crawler.store.hosts import Hosts

#: Hosts remembered per process.
_REMEMBERED = 10_000
#: A turn is good for so long.
_LATE_SECONDS = 0.02
#: Where turns are lost again and again the last one is used all the same: without an end nothing would be fetched.
_TURNS = 4
#: A turn is made longer by so much at most, for a process that is late.
_MOST_SLACK_SECONDS = 2.0


class Turns:
    """Keeps requests of this process to one host apart by what was really sent, not by what was planned.

    A busy machine may send one request late and the next one on time. Between processes the frontier's own check
    holds; within one, the moment of sending is known exactly.
    """

    def __init__(
        self,
        frontier: Frontier,
        hosts: Hosts,
        *,
        lease_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._frontier = frontier
        self._lease_seconds = lease_seconds
        self._hosts = hosts
        self._monotonic = monotonic
        self._sent: OrderedDict[str, float] = OrderedDict()

    def note_sent(self, host: str) -> None:
        """A document request to this host has just left."""
        self._sent[host] = self._monotonic()
        self._sent.move_to_end(host)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    async def take(self, lease: Lease) -> None:
        """Wait until the lease's request may leave: at once, or at the host's next turn if its own has passed.

        Handing the lease back instead could go on for ever where opening a page takes longer than the interval.
        Raises LeaseLost when this process has slept past its lease.
        """
        if lease.interval_ms == 0:
            if self._monotonic() - lease.granted_monotonic > self._lease_seconds / 2:
                await self._check(lease)
            return
        early = self._sent.get(lease.host, -1e9) + lease.interval_ms / 1000 - self._monotonic()
        if early > 0:
            await asyncio.sleep(early)
        asked_at = self._monotonic()
        if not await self._frontier.confirm(lease):
            await self._check(lease)
        elif self._monotonic() - asked_at <= _LATE_SECONDS:
            return
        await self.wait_for_next(lease, lease.host)

    async def wait_for_next(self, lease: Lease, host: str) -> None:
        """Take one more turn at a host for the work on this lease, and wait for it. Raises LeaseLost like `take`."""
        slack = 0.0
        for _ in range(_TURNS):
            asked_at = self._monotonic()
            wait = await self._hosts.reserve(host, slack_seconds=slack)
            # The database's "now" was at some time between question and answer: from the answer on is never early.
            await asyncio.sleep(wait)
            late = self._monotonic() - asked_at - wait
            if late <= max(slack, _LATE_SECONDS):
                return
            # The database is slow, the machine is busy, or the process was paused: the turn is gone, and perhaps
            # the lease too. The next turn gets room for as much.
            slack = min(2 * late, _MOST_SLACK_SECONDS)
            await self._check(lease)

    async def _check(self, lease: Lease) -> None:
        if not await self._frontier.extend([lease]):
            raise LeaseLost
