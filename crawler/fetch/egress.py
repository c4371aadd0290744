"""The one way out: every connection of the service is opened here, to an address that was judged right before.

A name is resolved, all its answers are judged, one of them is dialled, and the peer that really answered is judged
again. Nobody resolves a second time, so a name that changes its mind in between (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from ipaddress import IPv6Address, ip_address

import aiohappyeyeballs

from crawler.errors import Unavailable
from crawler.fetch import upstream
from crawler.fetch.addresses import (
    Address,
    Policy,
    is_forbidden_host,
    literal_address,
    normal_address,
    normal_host,
    permits_endpoint,
)
from crawler.fetch.resolver import HostTable, Resolver, SystemResolver
from crawler.model import ErrorCode, Failure
from crawler.recent import Recent
from crawler.settings import Settings

log = logging.getLogger(__name__)

#: All answers of a name are judged, but no more than these are dialled.
_MAX_ADDRESSES = 8
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
#: Hosts whose last address is remembered.
_REMEMBERED = 10_000
#: RFC 8305: how long one address family may hesitate before the other is tried too.
_HAPPY_EYEBALLS_SECONDS = 0.25


class Egress:
    """Opens TCP connections under the egress rules. One per process; `close()` it at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        resolver: Resolver | None = None,
        also_allow_host: str | None = None,
        follows_moves: bool = False,
    ) -> None:
        """`also_allow_host` may be anywhere, because the person at the keyboard typed it: on this machine, say.

        Its first answers are what that person meant. Later ones are judged like anybody's, or a page could have its
        name point to a service on this machine next; unless it `follows_moves`, for a host of the operator's to which
        nothing that is crawled can send a request. Raises ConfigurationError when an egress setting makes no sense.
        """
        self.policy = Policy.of(settings, also_allow_host=also_allow_host)
        self._dns_timeout_seconds = settings.dns_timeout_seconds
        self._connect_timeout_seconds = settings.connect_timeout_seconds
        self._upstream = (
            upstream.parse(settings.egress_upstream_proxy) if settings.egress_upstream_proxy else None
        )
        trusted = self.policy.trusted_host
        system = resolver or SystemResolver(local_names=frozenset({trusted} if trusted else ()))
        self._resolver = HostTable(self.policy.names, otherwise=system)
        self._trusted: frozenset[Address] = frozenset()
        self._follows_moves = follows_moves
        self._own_ports: set[tuple[Address, int]] = set()
        self._last = Recent[str, Address](_REMEMBERED)

    def close(self) -> None:
        """Stop resolving names."""
        self._resolver.close()

    def close_to_all(self, address: Address, port: int) -> None:
        """Refuse one endpoint whatever the policy says: a listener of ours, which would be a way round the rules."""
        self._own_ports.add((address, port))

    def reopen(self, address: Address, port: int) -> None:
        """Forget `close_to_all`: the listener is gone and the port may be anybody's."""
        self._own_ports.discard((address, port))

    async def resolve(self, host: str, port: int) -> tuple[Address, ...] | Failure:
        """The addresses to dial for a host, in order. One forbidden answer refuses the name as a whole."""
        host = normal_host(host)
        if is_forbidden_host(host, port, self.policy):
            return _blocked(host, port, "refused by its name")
        literal = literal_address(host)
        if literal is not None:
            answers: tuple[Address, ...] = (literal,)
        else:
            try:
                async with asyncio.timeout(self._dns_timeout_seconds):
                    answers = await self._resolver.resolve(host)
            except TimeoutError:
                return Failure(ErrorCode.DNS_FAILURE, f"no answer for {host} in time", retryable=True)
            except OSError as error:
                return Failure(ErrorCode.DNS_FAILURE, f"{host}: {error}", retryable=True)
        if not answers:
            return Failure(ErrorCode.DNS_FAILURE, f"{host} has no address")
        addresses = tuple(dict.fromkeys(normal_address(answer) for answer in answers))
        if host == self.policy.trusted_host and (self._follows_moves or not self._trusted):
            self._trusted = frozenset(addresses)
        for address in addresses:
            if not self._permits(host, address, port):
                return _blocked(host, port, f"resolves to {address}")
        return addresses[:_MAX_ADDRESSES]

    def last_address(self, host: str) -> Address | None:
        """The address of the last connection to a host; None when there was none, or through the upstream proxy."""
        return self._last.get(normal_host(host))

    async def next_address(self, host: str, port: int) -> Address | None:
        """Where the next connection to a host will go, as far as can be told: where the last one went, else what its
        name says. None when it will not be made, or the upstream proxy decides."""
        if self._upstream is not None:
            return None
        last = self.last_address(host)
        if last is not None:
            return last
        addresses = await self.resolve(host, port)
        return None if isinstance(addresses, Failure) else addresses[0]

    async def connect(self, host: str, port: int) -> socket.socket | Failure:
        """A connected, non-blocking socket to `host`; the caller owns it. Never raises for what the network does.

        Raises Unavailable when this process has no file descriptor left, which is no fault of the host.
        """
        if self._upstream is not None:
            return await self._connect_through(self._upstream, host, port)
        addresses = await self.resolve(host, port)
        if isinstance(addresses, Failure):
            return addresses
        host = normal_host(host)
        self._last.forget(host)
        sock = await self._open(addresses, port)
        if isinstance(sock, Failure):
            return sock
        peer = _peer(sock)
        if peer is None or not self._permits(host, peer, port):
            sock.close()
            return _blocked(host, port, f"connected to {peer}")
        self._last.put(host, peer)
        return sock

    def _permits(self, host: str, address: Address, port: int) -> bool:
        if (address, port) in self._own_ports:
            return False
        if host == self.policy.trusted_host and address in self._trusted:
            return not any(address in network for network in self.policy.deny)
        return permits_endpoint(address, port, self.policy)

    async def _open(self, addresses: tuple[Address, ...], port: int) -> socket.socket | Failure:
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                return await aiohappyeyeballs.start_connection(
                    [_addr_info(address, port) for address in addresses],
                    happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS,
                )
        except TimeoutError:
            return Failure(
                ErrorCode.CONNECT_FAILED, f"{addresses[0]}:{port}: no connection in time", retryable=True
            )
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                raise Unavailable("This process has no file descriptor left; raise its limit.") from error
            return Failure(ErrorCode.CONNECT_FAILED, f"{addresses[0]}:{port}: {error}", retryable=True)

    async def _connect_through(self, proxy: upstream.Proxy, host: str, port: int) -> socket.socket | Failure:
        """The operator's proxy resolves and decides; what a host's text forbids is refused here all the same."""
        if is_forbidden_host(host, port, self.policy):
            return _blocked(host, port, "refused by its name")
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                return await upstream.tunnel(proxy, normal_host(host), port)
        except TimeoutError:
            return Failure(
                ErrorCode.CONNECT_FAILED, "the upstream proxy did not answer in time", retryable=True
            )
        except OSError as error:
            return Failure(ErrorCode.CONNECT_FAILED, f"upstream proxy: {error}", retryable=True)


def _blocked(host: str, port: int, why: str) -> Failure:
    log.info("egress refused", extra={"host": host, "port": port})
    return Failure(ErrorCode.BLOCKED_DESTINATION, f"{host}:{port} {why}")


def _peer(sock: socket.socket) -> Address | None:
    try:
        return normal_address(ip_address(sock.getpeername()[0].partition("%")[0]))
    except OSError:
        return None


def _addr_info(
    address: Address, port: int
) -> tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]:
    if isinstance(address, IPv6Address):
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port))
