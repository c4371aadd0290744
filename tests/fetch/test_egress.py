"""What is dialled and what is not (attack cases A22, A23, A35, A37 to A41): decided on the address, at each dial."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

import aiohappyeyeballs
import pytest

from crawler.errors import ConfigurationError
from crawler.fetch.addresses import is_forbidden_host
from crawler.fetch.egress import Egress
from crawler.fetch.http import HttpFetcher
from crawler.fetch.resolver import SystemResolver
from crawler.model import ErrorCode, Failure, Response
from tests.fetch.origins import (
    PUBLIC,
    PUBLIC_TOO,
    Answers,
    Canary,
    Origin,
    fetching,
    page,
    policy,
    serving,
    upstream,
)

pytestmark = pytest.mark.usefixtures("canary")

PRIVATE = "127.0.0.3"
Names = Mapping[str, Sequence[Sequence[str] | None]]


@asynccontextmanager
async def egress(answers: Answers | None = None, **settings: object) -> AsyncIterator[Egress]:
    opened = Egress(policy(**settings), resolver=answers)
    try:
        yield opened
    finally:
        opened.close()


async def code_of_connect(names: Names, host: str, port: int, **settings: object) -> ErrorCode | None:
    """The error of one connection, None if it was made."""
    async with egress(Answers(names), **settings) as out:
        sock = await out.connect(host, port)
        if isinstance(sock, Failure):
            return sock.code
        sock.close()
        return None


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([PRIVATE], id="a22_private"),
        pytest.param([PUBLIC, PRIVATE], id="a23_dual_answer"),
        pytest.param([PRIVATE, PUBLIC], id="a23_dual_answer_reversed"),
        pytest.param(["169.254.169.254"], id="metadata"),
        pytest.param(["::ffff:127.0.0.3"], id="a38_mapped"),
        pytest.param(["::1"], id="v6_loopback"),
        pytest.param(
            [f"1.1.1.{last}" for last in range(20)] + [PRIVATE], id="a40_forbidden_after_the_first_eight"
        ),
    ],
)
async def test_a_forbidden_answer_refuses_the_name(canary: Canary, answers: list[str]) -> None:
    code = await code_of_connect({"name.test": [answers]}, "name.test", canary.port)
    assert code is ErrorCode.BLOCKED_DESTINATION


async def test_a40_only_eight_of_500_answers_are_dialled() -> None:
    many = [f"1.1.{number // 256}.{number % 256}" for number in range(500)]
    async with egress(Answers({"many.test": [many]})) as out:
        assert await out.resolve("many.test", 80) == tuple(ip_address(text) for text in many[:8])


@pytest.mark.parametrize("host", [PRIVATE, "[::1]", "::1", "localhost", "127.0.0.5", "::ffff:127.0.0.3"])
async def test_literals_are_judged_like_names(canary: Canary, host: str) -> None:
    async with egress() as out:
        refused = await out.connect(host, canary.port)
    assert isinstance(refused, Failure)
    assert refused.code is ErrorCode.BLOCKED_DESTINATION


@pytest.mark.parametrize("answer", [PUBLIC, "::ffff:127.0.0.2"])
async def test_an_allowed_address_is_dialled_in_either_form(site: Origin, answer: str) -> None:
    assert await code_of_connect({"site.test": [[answer]]}, "SITE.test.", site.port) is None


async def test_a38_one_address_in_two_forms_is_one_address() -> None:
    async with egress(Answers({"six.test": [["::ffff:127.0.0.2", PUBLIC]]})) as out:
        assert await out.resolve("six.test", 80) == (ip_address(PUBLIC),)


async def test_a24_port_off_the_list_is_refused() -> None:
    assert (
        await code_of_connect({"far.test": [["93.184.216.34"]]}, "far.test", 22)
        is ErrorCode.BLOCKED_DESTINATION
    )


async def test_names_are_asked_once_per_dial_and_judged_each_time(site: Origin) -> None:
    """A35, A41: what was public yesterday may be private today."""
    answers = Answers({"rebind.test": [[PUBLIC], [PRIVATE], [PUBLIC]]})
    async with egress(answers) as out:
        first = await out.connect("rebind.test", site.port)
        second = await out.connect("rebind.test", site.port)
        third = await out.connect("rebind.test", site.port)
    assert answers.questions == ["rebind.test"] * 3
    assert isinstance(first, socket.socket)
    assert isinstance(third, socket.socket)
    first.close()
    third.close()
    assert isinstance(second, Failure)
    assert second.code is ErrorCode.BLOCKED_DESTINATION


async def test_a35_static_fetch_of_a_rebinding_name(site: Origin) -> None:
    site.routes["/"] = page()
    async with fetching(names={"rebind.test": [[PUBLIC], [PRIVATE]]}) as fetcher:
        answer = await fetcher.fetch(site.url(host="rebind.test"))
    assert isinstance(answer, Response)


async def test_a37_origin_that_forces_a_new_dial_each_time(site: Origin) -> None:
    site.routes["*"] = page(b"x", "Connection: close")
    codes = []
    async with fetching(names={"flip.test": [[PUBLIC], [PRIVATE]] * 5}) as fetcher:
        for number in range(10):
            answer = await fetcher.fetch(site.url(f"/{number}", host="flip.test"))
            codes.append(answer.code if isinstance(answer, Failure) else None)
    assert codes == [None, ErrorCode.BLOCKED_DESTINATION] * 5


@pytest.mark.parametrize("names", [{"nx.test": [[]]}, {}], ids=["empty", "nxdomain"])
async def test_a40_no_address_is_a_dns_failure(names: Names) -> None:
    async with egress(Answers(names)) as out:
        failure = await out.connect("nx.test", 80)
    assert isinstance(failure, Failure)
    assert failure.code is ErrorCode.DNS_FAILURE
    assert not failure.retryable


async def test_a40_server_failure_may_pass() -> None:
    class Broken(Answers):
        async def resolve(self, name: str) -> tuple[()]:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")

    async with egress(Broken({})) as out:
        failure = await out.connect("fail.test", 80)
    assert isinstance(failure, Failure)
    assert failure.code is ErrorCode.DNS_FAILURE
    assert failure.retryable


async def test_a39_names_that_hang_fail_in_time_and_hold_up_nobody(site: Origin) -> None:
    names: Names = {f"slow{number}.test": [None] for number in range(200)} | {"site.test": [[PUBLIC]]}
    async with egress(Answers(names), dns_timeout_seconds=0.3) as out:
        slow = [asyncio.create_task(out.connect(f"slow{number}.test", 80)) for number in range(200)]
        sock = await asyncio.wait_for(out.connect("site.test", site.port), 0.2)
        failures = await asyncio.wait_for(asyncio.gather(*slow), 5)
    assert isinstance(sock, socket.socket)
    sock.close()
    assert {failure.code for failure in failures if isinstance(failure, Failure)} == {ErrorCode.DNS_FAILURE}


async def test_the_peer_is_judged_again_after_connecting(
    monkeypatch: pytest.MonkeyPatch, site: Origin, canary: Canary
) -> None:
    """Should anything between the verdict and the socket go wrong, no byte is sent."""
    dial = aiohappyeyeballs.start_connection

    async def misdirected(*_: object, **__: object) -> socket.socket:
        return await dial([(socket.AF_INET, socket.SOCK_STREAM, 0, "", (PRIVATE, canary.port))])

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", misdirected)
    async with egress() as out:
        refused = await out.connect(PUBLIC, site.port)
    assert isinstance(refused, Failure)
    assert refused.code is ErrorCode.BLOCKED_DESTINATION
    await canary.seen()
    assert canary.hits == [b"connected", b""]
    canary.hits.clear()


async def test_static_names_win_and_their_addresses_are_judged(site: Origin, canary: Canary) -> None:
    hosts = (f"site.test={PUBLIC}", f"inside.test={PRIVATE}", f"both.test={PUBLIC}+{PRIVATE}")
    async with egress(Answers({}), egress_hosts=hosts) as out:
        sock = await out.connect("site.test", site.port)
        assert isinstance(sock, socket.socket)
        sock.close()
        for name in ("inside.test", "both.test"):
            refused = await out.connect(name, canary.port)
            assert isinstance(refused, Failure)
            assert refused.code is ErrorCode.BLOCKED_DESTINATION


async def test_thousands_of_static_names_are_no_burden() -> None:
    hosts = tuple(f"host{number}.test={PUBLIC}" for number in range(5000))
    async with egress(Answers({}), egress_hosts=hosts) as out:
        assert await out.resolve("host4999.test", 80) == (ip_address(PUBLIC),)


async def test_the_typed_host_is_reached_wherever_it_is_and_no_other() -> None:
    """`crawl run http://app.test:3000/` on the user's own machine."""
    async with serving(_hello, "127.0.0.6") as port:
        names: Names = {"app.test": [["127.0.0.6"]], "twin.test": [["127.0.0.6"]]}
        async with fetching(names=names, also_allow_host="App.test", egress_allow_cidrs=()) as fetcher:
            typed = await fetcher.fetch(f"http://app.test:{port}/")
            twin = await fetcher.fetch(f"http://twin.test:{port}/")
            literal = await fetcher.fetch(f"http://127.0.0.6:{port}/")
    assert isinstance(typed, Response)
    for refused in (twin, literal):
        assert isinstance(refused, Failure)
        assert refused.code is ErrorCode.BLOCKED_DESTINATION


async def test_the_typed_host_is_where_it_was_first(site: Origin, canary: Canary) -> None:
    """A name that moves to this machine later is a rebinding attack, typed or not."""
    names: Names = {"app.test": [[PUBLIC], ["127.0.0.3"], [PUBLIC]]}
    site.routes["*"] = page(b"x", "Connection: close")
    async with fetching(names=names, also_allow_host="app.test", egress_allow_cidrs=()) as fetcher:
        first = await fetcher.fetch(site.url(host="app.test"))
        moved = await fetcher.fetch(f"http://app.test:{canary.port}/")
        back = await fetcher.fetch(site.url(host="app.test"))
    assert isinstance(first, Response)
    assert isinstance(back, Response)
    assert isinstance(moved, Failure)
    assert moved.code is ErrorCode.BLOCKED_DESTINATION


async def test_deny_wins_over_allow_when_a_name_leads_there(site: Origin) -> None:
    names: Names = {
        "open.test": [[PUBLIC]],
        "denied.test": [[PUBLIC_TOO]],
        "both.test": [[PUBLIC, PUBLIC_TOO]],
    }
    deny = {"egress_allow_cidrs": ("127.0.0.0/8",), "egress_deny_cidrs": (f"{PUBLIC_TOO}/32",)}
    assert await code_of_connect(names, "open.test", site.port, **deny) is None
    for name in ("denied.test", "both.test"):
        assert await code_of_connect(names, name, site.port, **deny) is ErrorCode.BLOCKED_DESTINATION


async def test_deny_wins_over_the_typed_host(site: Origin) -> None:
    async with fetching(also_allow_host=PUBLIC, egress_deny_cidrs=(PUBLIC,)) as fetcher:
        refused = await fetcher.fetch(site.url())
    assert isinstance(refused, Failure)
    assert refused.code is ErrorCode.BLOCKED_DESTINATION


async def _hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(page())
    await writer.drain()


async def test_localhost_is_found_without_a_name_server() -> None:
    resolver = SystemResolver()
    try:
        assert ip_address("127.0.0.1") in await resolver.resolve("localhost")
    finally:
        resolver.close()


async def test_a_label_that_dns_cannot_carry_has_no_address() -> None:
    resolver = SystemResolver()
    try:
        assert await resolver.resolve("a" * 64 + ".test") == ()
    finally:
        resolver.close()


async def test_refused_connection_may_pass(site: Origin) -> None:
    async with serving(_hello, PUBLIC_TOO) as free:
        pass
    async with egress() as out:
        failure = await out.connect(PUBLIC_TOO, free)
    assert isinstance(failure, Failure)
    assert failure.code is ErrorCode.CONNECT_FAILED
    assert failure.retryable


async def test_the_second_address_is_tried_when_the_first_is_dead(site: Origin) -> None:
    async with egress(Answers({"two.test": [[PUBLIC_TOO, PUBLIC]]})) as out:
        sock = await out.connect("two.test", site.port)
    assert isinstance(sock, socket.socket)
    assert sock.getpeername()[0] == PUBLIC
    sock.close()


@pytest.mark.parametrize(
    ("host", "port", "is_forbidden"),
    [
        ("93.184.216.34", 80, False),
        ("site.test", 443, False),
        ("2606:4700::1111", 80, False),
        ("2606:4700::1111", 8080, False),
        ("::1", 80, True),
        ("::1", 8080, True),
        ("10.0.0.1", 8080, True),
        ("redis", 6379, True),
        ("127.0.0.2", 6379, False),
    ],
)
async def test_hosts_are_judged_by_their_names(host: str, port: int, is_forbidden: bool) -> None:
    async with egress() as out:
        assert is_forbidden_host(host, port, out.policy) is is_forbidden


@pytest.mark.parametrize(
    "proxy", ["https://p.test:1", "http://p.test", "p.test:3128", "socks5://p.test:1", "http://:1"]
)
def test_an_upstream_proxy_that_makes_no_sense_stops_the_start(proxy: str) -> None:
    with pytest.raises(ConfigurationError, match="CRAWL_EGRESS_UPSTREAM_PROXY"):
        Egress(policy(egress_upstream_proxy=proxy))


async def test_upstream_proxy_carries_every_connection(site: Origin) -> None:
    site.routes["/"] = page(b"through")
    heads: list[bytes] = []
    async with upstream(b"HTTP/1.1 200 Connection established", heads) as port:
        proxy = f"http://us%65r:p%40ss@127.0.0.1:{port}"
        async with fetching(egress_upstream_proxy=proxy) as fetcher:
            answer = await fetcher.fetch(site.url(host="only-the-proxy-knows.test"))
    assert isinstance(answer, Response)
    assert answer.body == b"through"
    head = heads[0].decode()
    assert head.startswith(f"CONNECT only-the-proxy-knows.test:{site.port} HTTP/1.1\r\n")
    credentials = head.partition("Proxy-Authorization: Basic ")[2].partition("\r\n")[0]
    assert b64decode(credentials) == b"user:p@ss"


@pytest.mark.parametrize(
    "status", [b"HTTP/1.1 407 Who are you", b"SSH-2.0-x", b"HTTP/1.1 xyz", b"x" * 20_000]
)
async def test_upstream_proxy_that_says_no(site: Origin, status: bytes) -> None:
    async with (
        upstream(status, []) as port,
        fetching(egress_upstream_proxy=f"http://127.0.0.1:{port}") as fetcher,
    ):
        answer = await fetcher.fetch(site.url())
    assert isinstance(answer, Failure)
    assert answer.code is ErrorCode.CONNECT_FAILED


async def test_upstream_proxy_is_not_asked_for_forbidden_hosts() -> None:
    heads: list[bytes] = []
    async with (
        upstream(b"HTTP/1.1 200 OK", heads) as port,
        fetching(
            egress_upstream_proxy=f"http://127.0.0.1:{port}", egress_deny_cidrs=("93.184.216.0/24",)
        ) as fetcher,
    ):
        for url in (
            "http://10.0.0.1/", "http://localhost/", "http://redis/", "http://[::1]/", "http://93.184.216.34/",
        ):  # fmt: skip
            answer = await fetcher.fetch(url)
            assert isinstance(answer, Failure)
            assert answer.code is ErrorCode.BLOCKED_DESTINATION
    assert heads == []


async def test_connections_of_a_closed_fetcher_are_gone(site: Origin) -> None:
    site.keep_alive = True
    site.routes["/"] = page()
    settings = policy()
    out = Egress(settings)
    async with HttpFetcher(out, settings) as fetcher:
        for _ in range(3):
            assert isinstance(await fetcher.fetch(site.url()), Response)
        assert site.connections == 1
    out.close()
