"""Which addresses, ports and host names may be reached. A pure rule: no resolver, no socket.

The table is our own because `ipaddress.is_global` changed its mind between Python releases (CVE-2024-4032) and calls
multicast, 6to4 and NAT64 addresses global. It follows the IANA special-purpose registries; for IPv6 it names what is
open (2000::/3 without exceptions) so that a range assigned later is closed until somebody looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from crawler.errors import ConfigurationError
from crawler.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_CLOSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT, also cloud metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform services: routable by its number, internal in fact
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, Oracle's metadata among them
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)

#: The low 32 bits of these are an IPv4 address: compatible, SIIT, and the two NAT64 ranges of RFC 6052 and RFC 8215.
_LOW_BITS_V4 = tuple(
    IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_ISATAP_IDS = (0x00005EFE, 0x02005EFE)

#: What DNS can hold of a WHATWG host. Anything else would only be trouble for who reads it next.
_NAME = re.compile(r"[a-z0-9_.-]{1,253}")

#: Names that are never public: RFC 6761, 6762, 8375, ICANN's .internal, and what container networks use.
_RESERVED_SUFFIXES = (
    "localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "svc", "home.arpa",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's exceptions to the table. `deny` wins over everything else."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()
    ports: tuple[range, ...] = (range(80, 81), range(443, 444), range(8000, 9000))
    nat64: tuple[IPv6Network, ...] = ()
    #: Static answers; the rules apply to the addresses, but the operator vouches for the names.
    names: Mapping[str, tuple[Address, ...]] = field(default_factory=dict)
    #: The one host that a person at the keyboard asked for: not refused by its text, except by `deny`.
    trusted_host: str | None = None

    @classmethod
    def of(cls, settings: Settings, *, also_allow_host: str | None = None) -> Self:
        """Read the policy from the settings. Raises ConfigurationError for text that is no address or port."""
        return cls(
            allow=tuple(_networks(settings.egress_allow_cidrs)),
            deny=tuple(_networks(settings.egress_deny_cidrs)),
            ports=tuple(_ports(settings.egress_allowed_ports)),
            nat64=tuple(_nat64(settings.egress_nat64_prefixes)),
            names=_names(settings.egress_hosts),
            trusted_host=None if also_allow_host is None else normal_host(also_allow_host),
        )


def permits(address: Address, policy: Policy) -> bool:
    """Whether a connection to `address` is allowed, looking through every form that embeds an IPv4 address."""
    address = normal_address(address)
    inner = tuple(_embedded(address, policy))
    if any(_within(face, policy.deny) for face in (address, *inner)):
        return False
    if _within(address, policy.allow):
        return True
    if isinstance(address, IPv6Address) and _within(address, policy.nat64):
        return all(permits(face, policy) for face in inner)
    return _is_public(address) and all(_is_public(face) for face in inner)


def permits_endpoint(address: Address, port: int, policy: Policy) -> bool:
    """Whether this port of this address may be dialled. Addresses that `allow` names are open on every port."""
    if not 0 < port < 65536 or not permits(address, policy):
        return False
    return _within(normal_address(address), policy.allow) or any(port in ports for ports in policy.ports)


def is_forbidden_host(host: str, port: int, policy: Policy) -> bool:
    """Whether host and port are refused by their text alone, before any name is resolved.

    `host` is a host as a WHATWG parser serialises it, brackets optional. A name that passes may still resolve to a
    forbidden address: `permits_endpoint` decides that when it is dialled.
    """
    host = normal_host(host)
    if not host or not 0 < port < 65536:
        return True
    literal = literal_address(host)
    if host == policy.trusted_host:
        return literal is not None and _within(normal_address(literal), policy.deny)
    if literal is not None:
        return not permits_endpoint(literal, port, policy)
    if not _NAME.fullmatch(host):
        return True
    if not policy.allow and not any(port in ports for ports in policy.ports):
        return True
    if host in policy.names:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return not permits(IPv4Address("127.0.0.1"), policy)
    return "." not in host or host.endswith(tuple(f".{suffix}" for suffix in _RESERVED_SUFFIXES))


def normal_host(host: str) -> str:
    """The one spelling of a host: lower case, no brackets, no trailing dot."""
    return host.lower().removeprefix("[").removesuffix("]").removesuffix(".")


def normal_address(address: Address) -> Address:
    """`::ffff:a.b.c.d` is not another host but IPv4 spoken through a v6 socket."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def literal_address(host: str) -> Address | None:
    """The address that a normal host spells, or None for a name. A zone id is never accepted."""
    if "%" in host:
        return None
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _within(address, _CLOSED_V4)
    return address in _OPEN_V6 and not _within(address, _CLOSED_V6)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _embedded(address: Address, policy: Policy) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    bits = int(address)
    for prefix in policy.nat64:
        if address in prefix:
            yield _rfc6052(bits, prefix.prefixlen)
    if _within(address, _LOW_BITS_V4) or (bits >> 32) & 0xFFFFFFFF in _ISATAP_IDS:
        yield IPv4Address(bits & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _rfc6052(bits: int, prefix_length: int) -> IPv4Address:
    """The IPv4 address behind a NAT64 prefix: it follows the prefix and skips bits 64 to 71 (RFC 6052, 2.2)."""
    if prefix_length == 96:
        return IPv4Address(bits & 0xFFFFFFFF)
    without_u_octet = (bits >> 64) << 56 | bits & ((1 << 56) - 1)
    return IPv4Address((without_u_octet >> (120 - 32 - prefix_length)) & 0xFFFFFFFF)


def _networks(texts: Iterable[str]) -> Iterator[Network]:
    for text in texts:
        yield ip_network(text, strict=False)


def _nat64(texts: Iterable[str]) -> Iterator[IPv6Network]:
    for network in _networks(texts):
        if not isinstance(network, IPv6Network) or network.prefixlen not in (32, 40, 48, 56, 64, 96):
            msg = f"CRAWL_EGRESS_NAT64_PREFIXES: {network} is not a NAT64 prefix of RFC 6052"
            raise ConfigurationError(msg)
        yield network


def _ports(texts: Iterable[str]) -> Iterator[range]:
    for text in texts:
        first, _, last = text.partition("-")
        try:
            ports = range(int(first), int(last or first) + 1)
        except ValueError:
            ports = range(0)
        if not ports or ports[0] < 1 or ports[-1] > 65535:
            msg = f"CRAWL_EGRESS_ALLOWED_PORTS: {text!r} is neither a port nor a range of ports"
            raise ConfigurationError(msg)
        yield ports


def _names(texts: Iterable[str]) -> dict[str, tuple[Address, ...]]:
    """Read `name=address` entries. Several answers: `name=a+b`, or the name given again."""
    names: dict[str, tuple[Address, ...]] = {}
    for text in texts:
        name, _, answers = text.partition("=")
        host = normal_host(name.strip())
        addresses = tuple(literal_address(normal_host(answer.strip())) for answer in answers.split("+"))
        found = tuple(address for address in addresses if address is not None)
        if not host or len(found) < len(addresses):
            msg = f"CRAWL_EGRESS_HOSTS: {text!r} is not name=address"
            raise ConfigurationError(msg)
        names[host] = names.get(host, ()) + found
    return names
