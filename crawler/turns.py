"""A request's turn: its host's at the moment of sending (`docs/adr/0004-turns-that-are-late.md`), and before that its
address's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from crawler import urls
from crawler.address_turns import AddressTurns
from crawler.errors import LeaseLost, Unavailable
from crawler.model import Lease
from crawler.store.frontier import Frontier
from crawler.store.hosts import Hosts

log = logging.getLogger(__name__)

#: Hosts remembered per process.
_REMEMBERED = 10_000
#: A request that leaves later than this after the start of its turn moves the host's next turn first.
_LATE_SECONDS = 0.02
#: The part of the interval in which a turn must be used. Nobody else gets the host's next turn before the whole of it
#: has passed, and the rest is there to move that turn.
_USABLE = 0.5
#: A turn that was lost is followed by one with room for twice that delay. The longest room, seconds: a process that was
#: paused is not slow.
_MOST_ROOM_SECONDS = 2.0
#: Where turns are lost again and again the last one is used all the same: without an end nothing would be fetched.
_TURNS = 4


@dataclass(frozen=True, slots=True)
class _Turn:
    """The turn of a request that is about to leave."""

    host_id: int
    #: When it was to leave at the latest.
    ends: float
    interval_seconds: float


class Turns:
    """Keeps requests to one host apart by what was really sent, not by what was planned.

    A busy machine may send one request late and the next one on time. Within this process the moment of sending is
    known exactly; others learn of a late one from the database, before it leaves. Close it.
    """

    def __init__(
        self,
        frontier: Frontier,
        hosts: Hosts,
        addresses: AddressTurns,
        *,
        lease_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._frontier = frontier
        self._lease_seconds = lease_seconds
        self._hosts = hosts
        self._addresses = addresses
        self._monotonic = monotonic
        self._sent: OrderedDict[str, float] = OrderedDict()
        self._turns: dict[str, _Turn] = {}
        #: By id of the host: when its next turn begins, by this process's clock.
        self._late: dict[int, float] = {}
        #: Whether the database knows of all that is in `_late`.
        self._told: asyncio.Future[bool] | None = None
        self._moving: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Tell the database what it does not know yet."""
        if self._moving is not None:
            await self._moving

    def note_sent(self, host: str) -> None:
        """A document request to this host has just left."""
        now = self._monotonic()
        self._sent[host] = now
        self._sent.move_to_end(host)
        while len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        turn = self._turns.pop(host, None)
        if turn is not None and now - turn.ends > _LATE_SECONDS:
            # Later than was told, by what it took to tell: that is told when it has left.
            self._tell(turn, now)

    async def enter(self, lease: Lease) -> bool:
        """Wait for a turn at the address of the lease's host; False: hand the lease back."""
        return await self._addresses.enter(lease.url)

    async def take(self, lease: Lease) -> None:
        """Wait until the lease's request may leave: at once, or at the host's next turn if its own has passed.

        Handing the lease back instead could go on for ever where opening a page takes longer than the interval.
        Raises LeaseLost when this process has slept past its lease, Unavailable when nobody can be told of a late one.
        """
        if lease.interval_ms == 0:
            if self._monotonic() - lease.granted_monotonic > self._lease_seconds / 2:
                await self._check(lease)
            return
        interval = lease.interval_ms / 1000
        await self._addresses.confirm(lease.host)
        await self._keep_apart(lease.host, interval)
        began = lease.granted_monotonic
        if self._monotonic() - began > _USABLE * interval:
            began = self._monotonic()
            if not await self._frontier.renew(lease):
                await self._check(lease)
                began = float("-inf")
        if self._monotonic() - began > _USABLE * interval:
            await self._wait_for_host(lease, lease.host)
        else:
            await self._use(lease.host, _Turn(lease.host_id, began, interval))

    async def wait_for_next(self, lease: Lease, url: str) -> None:
        """Take one more turn, at the host of a URL, for the work on this lease, and wait for it. Raises like `take`."""
        # First the address: its turns may be late by what the host's takes, but not the other way round.
        await self._addresses.wait_for_next(url)
        await self._wait_for_host(lease, urls.host_of(url))

    async def _wait_for_host(self, lease: Lease, host: str) -> None:
        room_seconds = 0.0
        for _ in range(_TURNS):
            asked_at = self._monotonic()
            place = await self._hosts.reserve(host, room_seconds=room_seconds)
            # The database's "now" was at some time between question and answer: from the answer on is never early.
            await asyncio.sleep(place.wait_seconds)
            await self._keep_apart(host, place.interval_seconds)
            ends = asked_at + place.wait_seconds + room_seconds
            turn = _Turn(place.host_id, ends, place.interval_seconds)
            late_seconds = self._monotonic() - ends
            if late_seconds <= max(_LATE_SECONDS, _USABLE * place.interval_seconds):
                break
            # The database is slow, the machine is busy, or the process was paused: the turn is gone, and perhaps
            # the lease too.
            await self._check(lease)
            room_seconds = min(2 * (room_seconds + late_seconds), _MOST_ROOM_SECONDS)
        await self._use(host, turn)

    async def _use(self, host: str, turn: _Turn) -> None:
        """The request leaves now. If that is late the others have to know first: a process that is cut off from the
        database, or dies, can tell nobody afterwards."""
        now = self._monotonic()
        if now - turn.ends > _LATE_SECONDS:
            if not await asyncio.shield(self._tell(turn, now)):
                raise Unavailable
            turn = replace(turn, ends=now)
        self._turns[host] = turn

    def _tell(self, turn: _Turn, now: float) -> asyncio.Future[bool]:
        """Let the host's next turn begin an interval from now. The answer is whether the database knows."""
        self._late[turn.host_id] = now + turn.interval_seconds
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        told = self._told
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move(), name="move turns")
        return told

    async def _keep_apart(self, host: str, interval_seconds: float) -> None:
        """Wait out what is left of the interval since this process's last request to the host."""
        early = self._sent.get(host, float("-inf")) + interval_seconds - self._monotonic()
        if early > 0:
            await asyncio.sleep(early)

    async def _move(self) -> None:
        """Move the next turns of hosts whose requests are late, all that have gathered at once."""
        while self._told is not None:
            late, self._late = self._late, {}
            told, self._told = self._told, None
            is_known = False
            try:
                now = self._monotonic()
                await self._hosts.hold_back({host_id: at - now for host_id, at in late.items()})
                is_known = True
            except Unavailable as error:
                log.warning("late turns are not known to others: %s", error.message)
            finally:
                told.set_result(is_known)

    async def _check(self, lease: Lease) -> None:
        if not await self._frontier.extend([lease]):
            raise LeaseLost
