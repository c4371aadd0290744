"""Turns at addresses: many hosts at one address are not a way round politeness
(`docs/adr/0021-turns-at-addresses.md`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from crawler import urls
from crawler.fetch.addresses import Address
from crawler.fetch.egress import Egress
from crawler.recent import Recent
from crawler.store.addresses import Addresses, AddressTurn

#: Hosts, and addresses, remembered per process.
_REMEMBERED = 10_000
#: The part of the gap that this process keeps by its own clock between what it sends. Less than the whole, so that it
#: catches up after it was late.
_LEAST_GAP = 0.9
#: A host that is alone at its address keeps the gap by its own interval. So often it is asked whether it still is.
_ALONE_SECONDS = 10.0


class AddressTurns:
    """Asked before a request may be sent, in addition to the host's turn. One per process."""

    def __init__(
        self,
        addresses: Addresses,
        egress: Egress,
        *,
        gap_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`gap_seconds` between two requests to one address; 0: addresses have no turns."""
        self._addresses = addresses
        self._egress = egress
        self._gap_seconds = gap_seconds
        self._monotonic = monotonic
        #: By host: the address at which its last turn was taken.
        self._taken = Recent[str, Address](_REMEMBERED)
        #: By address: the only host there, and how long that is believed.
        self._only_hosts = Recent[Address, tuple[str, float]](_REMEMBERED)
        #: By address: when this process may send the next request there.
        self._free_at = Recent[Address, float](_REMEMBERED)

    async def enter(self, url: str) -> bool:
        """Wait for a turn at the address that a URL is at.

        False when too many wait there: hand the lease back, its host is handed out again later. Waiting for it here
        would fill the process with pages of one address.
        """
        address = await self._address_of(url)
        if address is None:
            return True
        host = urls.host_of(url)
        only_host, until = self._only_hosts.get(address) or ("", 0.0)
        if only_host == host and self._monotonic() < until:
            self._taken.put(host, address)
            return True
        turn = await self._addresses.take(str(address), host)
        if turn is None:
            self._only_hosts.forget(address)
            return False
        await self._wait(turn, host, address)
        return True

    async def wait_for_next(self, url: str) -> None:
        """Take the next turn at the address that a URL is at, and wait for it."""
        address = await self._address_of(url)
        if address is not None:
            await self._wait_at(urls.host_of(url), address)

    async def confirm(self, host: str) -> None:
        """Wait until a request of this process may leave for the address of a host that has a turn.

        If there is a connection by now, and it goes elsewhere than the turn was for, one is taken there.
        """
        taken = self._taken.get(host)
        address = self._egress.last_address(host) or taken
        if address is None or not self._gap_seconds:
            return
        if address != taken:
            await self._wait_at(host, address)
        now = self._monotonic()
        leaves_at = max(now, self._free_at.get(address) or now)
        self._free_at.put(address, leaves_at + _LEAST_GAP * self._gap_seconds)
        await asyncio.sleep(leaves_at - now)

    async def _wait_at(self, host: str, address: Address) -> None:
        await self._wait(await self._addresses.reserve(str(address), host), host, address)

    async def _wait(self, turn: AddressTurn, host: str, address: Address) -> None:
        self._taken.put(host, address)
        if turn.is_only_host:
            self._only_hosts.put(address, (host, self._monotonic() + _ALONE_SECONDS))
        else:
            self._only_hosts.forget(address)
        await asyncio.sleep(turn.wait_seconds)

    async def _address_of(self, url: str) -> Address | None:
        if not self._gap_seconds:
            return None
        return await self._egress.next_address(urls.host_of(url), urls.port_of(url))
