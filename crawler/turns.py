"""A request's turn: its host's at the moment of sending (`docs/adr/0004-turns-that-are-late.md`), and before that its
address's."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from crawler import urls
from crawler.address_turns import AddressTurns
from crawler.errors import LeaseLost, Unavailable
from crawler.model import Lease
from crawler.recent import Recent
from crawler.store.frontier import Frontier
from crawler.store.hosts import Hosts, TurnKey

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

    #: As long as the host's next time is this, nobody has had its next turn.
    key: TurnKey
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
        self._sent = Recent[str, float](_REMEMBERED)
        self._turns: dict[str, _Turn] = {}
        #: When the next turn of a host is to begin, by this process's clock.
        self._late: dict[TurnKey, float] = {}
        #: The next times of the hosts in `_late` that were still as they are there; None: the database is away.
        self._told: asyncio.Future[Mapping[TurnKey, int] | None] | None = None
        #: How long it took to tell, last.
        self._telling_seconds = 0.0
        self._moving: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Tell the database what it does not know yet."""
        if self._moving is not None:
            await self._moving

    def note_sent(self, host: str) -> None:
        """A document request to this host has just left."""
        now = self._monotonic()
        self._sent.put(host, now)
        turn = self._turns.pop(host, None)
        if turn is not None and now - turn.ends > _LATE_SECONDS:
            # Later than was told, by what it took to tell: that is told when it has left.
            self._tell(_whatever(turn), now)

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
        began, next_at = lease.granted_monotonic, lease.next_fetch_at
        if self._monotonic() - began > _USABLE * interval:
            began = self._monotonic()
            renewed = await self._frontier.renew(lease)
            if renewed is None:
                await self._check(lease)
                await self._wait_for_host(lease, lease.host)
                return
            next_at = renewed
        turn = _Turn((lease.host_id, next_at), began, interval)
        if not self._is_usable(turn) or not await self._use(lease.host, turn):
            await self._wait_for_host(lease, lease.host)

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
            turn = _Turn((place.host_id, place.next_at), ends, place.interval_seconds)
            if self._is_usable(turn) and await self._use(host, turn):
                return
            # The database is slow, the machine is busy, or the process was paused: the turn is gone, and perhaps
            # the lease too.
            late_seconds = max(0.0, self._monotonic() - ends)
            await self._check(lease)
            room_seconds = min(2 * (room_seconds + late_seconds), _MOST_ROOM_SECONDS)
        await self._use(host, _whatever(turn))

    def _is_usable(self, turn: _Turn) -> bool:
        late_seconds = self._monotonic() - turn.ends
        return late_seconds <= max(_LATE_SECONDS, _USABLE * turn.interval_seconds)

    async def _use(self, host: str, turn: _Turn) -> bool:
        """The request leaves now; False: it may not, somebody has had the host's next turn meanwhile.

        If it is late the others have to know first: a process that is cut off from the database, or dies, can tell
        nobody afterwards. Telling takes time, so they are told of a moment that is as much later.
        """
        room_seconds = self._telling_seconds
        for _ in range(_TURNS):
            now = self._monotonic()
            if now - turn.ends <= _LATE_SECONDS:
                break
            ends = now + room_seconds
            told = await asyncio.shield(self._tell(turn, ends))
            if told is None:
                raise Unavailable
            if turn.key not in told:
                return False
            host_id, next_at = turn.key
            key = (host_id, None if next_at is None else told[turn.key])
            turn = replace(turn, key=key, ends=ends)
            room_seconds = min(2 * (self._monotonic() - now), _MOST_ROOM_SECONDS)
        self._turns[host] = turn
        return True

    def _tell(self, turn: _Turn, ends: float) -> asyncio.Future[Mapping[TurnKey, int] | None]:
        """Let the host's next turn begin an interval from `ends`. The answer is what `hold_back` says."""
        self._late[turn.key] = ends + turn.interval_seconds
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        told = self._told
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move(), name="move turns")
        return told

    async def _keep_apart(self, host: str, interval_seconds: float) -> None:
        """Wait out what is left of the interval since this process's last request to the host."""
        sent_at = self._sent.get(host)
        early = 0.0 if sent_at is None else sent_at + interval_seconds - self._monotonic()
        if early > 0:
            await asyncio.sleep(early)

    async def _move(self) -> None:
        """Move the next turns of hosts whose requests are late, all that have gathered at once."""
        while self._told is not None:
            late, self._late = self._late, {}
            told, self._told = self._told, None
            known = None
            began = self._monotonic()
            try:
                known = await self._hosts.hold_back({key: at - began for key, at in late.items()})
            except Unavailable as error:
                log.warning("late turns are not known to others: %s", error.message)
            finally:
                self._telling_seconds = min(self._monotonic() - began, _MOST_ROOM_SECONDS)
                told.set_result(known)

    async def _check(self, lease: Lease) -> None:
        if not await self._frontier.extend([lease]):
            raise LeaseLost


def _whatever(turn: _Turn) -> _Turn:
    """The same turn, of which the others are told even where somebody has had the next one."""
    return replace(turn, key=(turn.key[0], None))
