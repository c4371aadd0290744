"""Which destinations are refused by their text and by their address (attack cases A1 to A21, A24, A63 to A67)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler import urls
from crawler.errors import ConfigurationError
from crawler.fetch.addresses import Policy, is_forbidden_host, permits, permits_endpoint
from crawler.settings import Settings

DEFAULT = Policy()


def rules(*, also_allow_host: str | None = None, **settings: object) -> Policy:
    """The policy of some settings."""
    return Policy.of(Settings.load(**settings), also_allow_host=also_allow_host)


def verdict(url: str, policy: Policy = DEFAULT) -> str:
    """How a submitted URL is judged before anything is resolved: `invalid`, `blocked` or `try`."""
    parsed = urls.parse(url, max_chars=8192)
    if isinstance(parsed, urls.BadUrl):
        return "invalid"
    return "blocked" if is_forbidden_host(parsed.host, parsed.port, policy) else "try"


BLOCKED = {
    "a1_loopback": ["http://127.0.0.1/", "http://localhost/", "http://LOCALHOST./", "http://foo.localhost/"],
    "a2_this_host": ["http://0.0.0.0/", "http://0/"],
    "a3_numeric_forms": [
        "http://127.1/", "http://127.0.1/", "http://0x7f.1/", "http://0x7f000001/", "http://2130706433/",
        "http://017700000001/", "http://0177.0.0.1/", "http://127.0.0.01/",
    ],
    "a4_unicode_digits": ["http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/"],
    "a5_percent_encoded": ["http://%31%32%37.0.0.3/", "http://127%2e0%2e0%2e3/"],
    "a6_private": ["http://10.0.0.5/", "http://172.16.0.5/", "http://172.31.255.5/", "http://192.168.1.5/"],
    "a7_metadata": [
        "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://100.100.100.200/",
        "http://192.0.0.192/", "http://168.63.129.16/", "http://metadata.google.internal/",
    ],
    "a8_special": [
        "http://100.64.0.5/", "http://198.18.0.5/", "http://192.0.2.1/", "http://198.51.100.1/", "http://203.0.113.1/",
        "http://240.0.0.1/", "http://255.255.255.255/",
    ],
    "a9_multicast": ["http://224.0.0.5/", "http://239.255.255.250:1900/", "http://[ff02::1]/"],
    "a10_v6_loopback": ["http://[::]/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/"],
    "a11_mapped": ["http://[::ffff:127.0.0.3]/", "http://[::ffff:7f00:3]/", "http://[::ffff:0:127.0.0.3]/"],
    "a12_compatible": ["http://[::127.0.0.3]/"],
    "a13_nat64": ["http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::a00:5]/"],
    "a15_6to4": ["http://[2002:7f00:1::]/", "http://[2002:a9fe:a9fe::1]/"],
    "a16_teredo_isatap": [
        "http://[2001:0:0:0:0:0:f5ff:fffa]/", "http://[::5efe:10.0.0.5]/", "http://[fe80::5efe:a00:5]/",
        "http://[2606:4700::5efe:a00:5]/",
    ],
    "a17_local_v6": ["http://[fc00::1]/", "http://[fec0::5]/", "http://[fe80::5]/"],
    "a18_documentation": ["http://[3fff::1]/", "http://[2001:db8::1]/", "http://[100::1]/", "http://[5f00::1]/"],
    "a21_internal_names": [
        "http://redis/", "http://postgres:5432/", "http://kubernetes.default.svc/", "http://host.docker.internal/",
        "http://x.local/", "http://x.internal/", "http://redis./",
    ],
    "a24_ports": ["http://site.test:22/", "http://site.test:25/", "http://site.test:6379/", "http://site.test:0/"],
    "a63_parser_differentials": [
        "http://127.0.0.3:80\\@public.test/", "http:127.0.0.3/", "http:///127.0.0.3/",
    ],
}  # fmt: skip
INVALID = {
    "a17_zone_id": ["http://[fe80::5%25lo]/"],
    "a24_port_range": ["http://site.test:65536/"],
    "a63_malformed": [
        "http://user:pw@127.0.0.3/", "http://[127.0.0.3]/", "http://foo[bar]baz/", "http://a%00b/", "http://xn--/",
        "http://public.test:80:81/", "\thttp://127.0.0.3/", "ht\ntp://127.0.0.3/",
    ],
    "a64_file": [
        "file:///etc/passwd", " file:///etc/passwd", "FILE:///", "file:\\etc\\passwd", "file:/etc/passwd",
        "file:../../etc/passwd",
    ],
    "a65_view_source": ["view-source:http://site.test/", "view-source:file:///etc/passwd"],
    "a66_schemes": [
        "chrome://version", "chrome-extension://x/", "devtools://", "about:blank", "javascript:1", "data:text/html,x",
        "blob:http://site.test/x", "filesystem:x", "ws://site.test/", "ftp://site.test/", "gopher://x/", "jar:x",
        "unix:///var/run/docker.sock", "http+unix://x/", "intent:x", "mailto:a@b.test",
    ],
    "a67_relative": ["\\\\127.0.0.3\\share\\x", "//127.0.0.3/"],
}  # fmt: skip


def _rows(table: dict[str, list[str]]) -> list[object]:
    return [pytest.param(url, id=f"{case}-{url}") for case, found in table.items() for url in found]


@pytest.mark.parametrize("url", _rows(BLOCKED))
def test_blocked_by_its_text(url: str) -> None:
    assert verdict(url) == "blocked"


@pytest.mark.parametrize("url", _rows(INVALID))
def test_invalid_url_is_no_destination(url: str) -> None:
    assert verdict(url) == "invalid"


@pytest.mark.parametrize(
    "url",
    ["http://93.184.216.34/", "http://[2606:4700::1111]/", "https://example.com/", "http://site.test:8080/x"],
)
def test_a20_public_destinations_are_tried(url: str) -> None:
    assert verdict(url) == "try"


def test_a63_the_host_after_a_backslash_is_path() -> None:
    """WHATWG: `\\` is `/` in http URLs, so the host is public.test and what follows is its path."""
    parsed = urls.parse("http://public.test\\@127.0.0.3/", max_chars=100)
    assert isinstance(parsed, urls.Url)
    assert parsed.host == "public.test"


@pytest.mark.parametrize(
    "host", ["", ".", "a b.test", "a\r\nhost: b.test", "ex'ample.test", "é.test", "a" * 254]
)
def test_names_that_dns_cannot_hold_are_refused(host: str) -> None:
    assert is_forbidden_host(host, 80, DEFAULT)


#: A19: the same on every Python, unlike `is_global`.
TABLE = {
    "0.0.0.0": False, "0.255.255.255": False, "1.0.0.1": True, "1.1.1.1": True, "8.8.8.8": True, "9.255.255.255": True,
    "10.0.0.0": False, "10.255.255.255": False, "11.0.0.0": True, "93.184.216.34": True, "100.63.255.255": True,
    "100.64.0.0": False, "100.127.255.255": False, "100.128.0.0": True, "126.255.255.255": True, "127.0.0.1": False,
    "127.255.255.255": False, "128.0.0.1": True, "168.63.129.15": True, "168.63.129.16": False, "168.63.129.17": True,
    "169.253.255.255": True, "169.254.0.0": False, "169.254.169.254": False, "169.255.0.0": True,
    "172.15.255.255": True, "172.16.0.0": False, "172.31.255.255": False, "172.32.0.0": True, "191.255.255.255": True,
    "192.0.0.1": False, "192.0.0.9": False, "192.0.0.192": False, "192.0.1.1": True, "192.0.2.1": False,
    "192.31.196.1": False, "192.52.193.1": False, "192.88.99.1": False, "192.167.255.255": True, "192.168.0.0": False,
    "192.169.0.0": True, "192.175.48.1": False, "198.17.255.255": True, "198.18.0.0": False, "198.19.255.255": False,
    "198.20.0.0": True, "198.51.100.1": False, "203.0.113.1": False, "223.255.255.255": True, "224.0.0.1": False,
    "239.255.255.255": False, "240.0.0.1": False, "255.255.255.255": False,
    "::": False, "::1": False, "::7f00:1": False, "::ffff:8.8.8.8": True, "::ffff:127.0.0.1": False,
    "::ffff:0:8.8.8.8": False, "64:ff9b::808:808": False, "64:ff9b:1::1": False, "100::1": False, "2001::1": False,
    "2001:1ff:ffff::1": False, "2001:200::1": True, "2001:4860:4860::8888": True, "2001:db8::1": False,
    "2002:808:808::1": False, "2400::1": True, "2606:4700::1111": True, "2606:4700::5efe:808:808": True,
    "2606:4700::200:5efe:c0a8:1": False, "2620:4f:8000::1": False, "3ffe::1": True, "3fff::1": False, "4000::1": False,
    "5f00::1": False, "fc00::1": False, "fd00:ec2::254": False, "fe80::1": False, "fec0::1": False, "ff02::1": False,
}  # fmt: skip


@pytest.mark.parametrize("text", TABLE)
def test_a19_table(text: str) -> None:
    assert permits(ip_address(text), DEFAULT) is TABLE[text]


@given(st.ip_addresses(v=4))
def test_every_form_of_a_closed_v4_address_is_closed(address: IPv4Address) -> None:
    low = int(address)
    forms = [
        (0xFFFF << 32) | low,
        low,
        (0xFFFF << 48) | low,
        (0x64FF9B << 96) | low,
        (0x2002 << 112) | (low << 80),
        (0x20010000 << 96) | (~low & 0xFFFFFFFF),
        (0x26064700 << 96) | (0x5EFE << 32) | low,
    ]
    if not permits(address, DEFAULT):
        assert not any(permits(IPv6Address(form), DEFAULT) for form in forms)


@given(st.ip_addresses(v=6))
def test_v6_outside_of_the_open_range_is_closed(address: IPv6Address) -> None:
    if address not in ip_network("2000::/3") and address.ipv4_mapped is None:
        assert not permits(address, DEFAULT)


def test_a14_nat64_prefix_of_the_operator_is_judged_by_the_inner_address() -> None:
    policy = rules(egress_nat64_prefixes=("2001:db8:64::/96",))
    assert verdict("http://[2001:db8:64::a00:5]/", policy) == "blocked"
    assert verdict("http://[2001:db8:64::5db8:d822]/", policy) == "try"


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_a14_prefix_lengths_of_rfc_6052(prefix: str, address: str) -> None:
    """The examples of RFC 6052, 2.4, which all stand for 192.0.2.33."""
    policy = rules(egress_nat64_prefixes=(prefix,), egress_deny_cidrs=("0.0.0.0/0",))
    assert not permits(ip_address(address), policy)
    allowed = rules(egress_nat64_prefixes=(prefix,), egress_allow_cidrs=("192.0.2.33/32",))
    assert permits(ip_address(address), allowed)


def test_an_allowed_range_is_open_on_every_port_and_nothing_else_is() -> None:
    policy = rules(egress_allow_cidrs=("127.0.0.2/32",))
    assert permits_endpoint(ip_address("127.0.0.2"), 6379, policy)
    assert permits_endpoint(ip_address("::ffff:127.0.0.2"), 6379, policy)
    assert not permits_endpoint(ip_address("127.0.0.3"), 80, policy)
    assert not permits_endpoint(ip_address("64:ff9b::127.0.0.2"), 80, policy)
    assert not permits_endpoint(ip_address("1.1.1.1"), 6379, policy)
    assert permits_endpoint(ip_address("1.1.1.1"), 8999, policy)
    assert not permits_endpoint(ip_address("127.0.0.2"), 0, policy)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1"])
def test_deny_wins_over_allow_in_every_form(address: str) -> None:
    policy = rules(egress_allow_cidrs=("0.0.0.0/0", "::/0"), egress_deny_cidrs=("10.1.2.0/24",))
    assert not permits(ip_address(address), policy)
    assert permits(ip_address("10.1.3.3"), policy)


def test_names_that_the_operator_gave_are_not_refused_by_their_text() -> None:
    policy = rules(egress_hosts=("redis=10.0.0.5", "wiki.internal=10.0.0.6+10.0.0.7", "redis=10.0.0.8"))
    assert not is_forbidden_host("redis", 80, policy)
    assert is_forbidden_host("redis2", 80, policy)
    assert policy.names["redis"] == (IPv4Address("10.0.0.5"), IPv4Address("10.0.0.8"))
    assert policy.names["wiki.internal"] == (IPv4Address("10.0.0.6"), IPv4Address("10.0.0.7"))


def test_the_host_that_was_typed_is_trusted_and_no_other() -> None:
    policy = rules(also_allow_host="LOCALHOST")
    assert not is_forbidden_host("localhost", 3000, policy)
    assert is_forbidden_host("127.0.0.1", 3000, policy)
    assert is_forbidden_host("x.localhost", 80, policy)


def test_deny_wins_over_the_host_that_was_typed() -> None:
    policy = rules(egress_deny_cidrs=("10.0.0.0/8",), also_allow_host="10.0.0.5")
    assert is_forbidden_host("10.0.0.5", 80, policy)


@pytest.mark.parametrize(
    "settings",
    [
        {"egress_hosts": ("site.test",)},
        {"egress_hosts": ("site.test=there",)},
        {"egress_hosts": ("=127.0.0.1",)},
        {"egress_allowed_ports": ("http",)},
        {"egress_allowed_ports": ("90-80",)},
        {"egress_allowed_ports": ("0-80",)},
        {"egress_allowed_ports": ("80-65536",)},
        {"egress_nat64_prefixes": ("64:ff9b::/95",)},
        {"egress_nat64_prefixes": ("10.0.0.0/8",)},
    ],
)
def test_settings_that_make_no_sense_stop_the_start(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="CRAWL_EGRESS_"):
        Policy.of(Settings.load(**settings))


def test_allowed_ports_are_the_operators_choice() -> None:
    policy = rules(egress_allowed_ports=("443", "9000-9001"))
    assert [port for port in (80, 443, 8999, 9000, 9001, 9002) if not is_forbidden_host("a.test", port, policy)] == [
        443, 9000, 9001,
    ]  # fmt: skip
