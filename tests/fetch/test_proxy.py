"""The browser's forward proxy with a raw client (attack cases A53 to A59): one request, judged, said anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from crawler.fetch.egress import Egress
from crawler.fetch.proxy import EgressProxy, Listener
from crawler.model import ErrorCode
from tests.fetch.origins import PUBLIC, PUBLIC_TOO, Answers, Canary, Origin, page, policy, serving, upstream

pytestmark = pytest.mark.usefixtures("canary")

NAMES = {"site.test": [[PUBLIC]], "inside.test": [["127.0.0.3"]], "other.test": [[PUBLIC_TOO]]}


@asynccontextmanager
async def listening(**settings: object) -> AsyncIterator[Listener]:
    chosen = policy(**settings)
    egress = Egress(chosen, resolver=Answers(NAMES))
    async with EgressProxy(egress, chosen).listener() as listener:
        yield listener
    egress.close()


@asynccontextmanager
async def connection(listener: Listener) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(listener: Listener, *pieces: bytes) -> bytes:
    """Send bytes on one connection; everything that comes back until it is closed."""
    async with connection(listener) as (reader, writer):
        answer = b""
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            answer = await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            pass
        return answer


def get(url: str, *headers: str) -> bytes:
    host = url.split("/")[2]
    return "\r\n".join([f"GET {url} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode("latin-1")


def tunnel(target: str) -> bytes:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()


async def test_plain_request_is_said_anew(site: Origin) -> None:
    site.routes["/p?q=1"] = page(b"body", "X-Own: 1", "Keep-Alive: timeout=5", "Connection: keep-alive")
    url = site.url("/p?q=1", host="site.test")
    async with listening() as listener:
        answer = await ask(
            listener, get(url, "Proxy-Connection: keep-alive", "X-Mine: 1", "Connection: X-Hop", "X-Hop: 1")
        )
        assert listener.requests == 1
        assert listener.failure_for("site.test") is None
        assert listener.bytes >= len(site.heads[0]) + len(answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"body"
    assert b"X-Own: 1" in head
    assert b"Connection: close" in head
    assert b"Keep-Alive" not in head
    assert site.heads[0].startswith(b"GET /p?q=1 HTTP/1.1\r\n")
    assert site.header("Host") == [f"site.test:{site.port}"]
    assert site.header("Connection") == [None]
    assert site.header("X-Mine") == ["1"]
    for name in ("Proxy-Connection", "X-Hop"):
        assert site.header(name) == [None]


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_bodies_pass_both_ways(site: Origin, framing: str) -> None:
    received = b""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        received = await reader.readuntil(b"end" if framing == "length" else b"0\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        )

    site.routes["/"] = echo
    head = f"POST {site.url()} HTTP/1.1\r\nHost: x\r\n"
    if framing == "length":
        pieces = [f"{head}Content-Length: 6\r\n\r\n".encode(), b"abc", b"end"]
    else:
        pieces = [
            f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(),
            b"3\r\nabc\r\n",
            b"3\r\nend\r\n",
            b"0\r\n\r\n",
        ]
    async with listening() as listener:
        answer = await ask(listener, *pieces)
    assert received.replace(b"\r\n3\r\n", b"").strip(b"\r\n03") == b"abcend"
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_body_without_framing_is_framed(site: Origin) -> None:
    """The browser must be able to tell a whole body from a cut one."""
    site.routes["/"] = b"HTTP/1.0 200 OK\r\n\r\nuntil close"
    async with listening() as listener:
        answer = await ask(listener, get(site.url()))
    assert answer.lower().count(b"transfer-encoding: chunked") == 1
    assert answer.endswith(b"until close\r\n0\r\n\r\n")


async def test_a_cut_body_stays_cut(site: Origin) -> None:
    site.routes["/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    async with listening() as listener:
        answer = await ask(listener, get(site.url()))
    assert len(answer.partition(b"\r\n\r\n")[2]) < 100


async def test_early_hints_are_left_out(site: Origin) -> None:
    site.routes["/"] = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + page(b"final")
    async with listening() as listener:
        answer = await ask(listener, get(site.url()))
    assert answer.startswith(b"HTTP/1.1 200")


async def test_d9_endless_early_hints_end(site: Origin) -> None:
    site.routes["/"] = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500 + page(b"final")
    async with listening() as listener:
        assert await ask(listener, get(site.url())) == b""


async def test_tunnel_carries_bytes_both_ways() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data.upper())
            await writer.drain()
        writer.write(b"!")
        await writer.drain()

    async with (
        serving(shout, PUBLIC) as port,
        listening() as listener,
        connection(listener) as (reader, writer),
    ):
        writer.write(tunnel(f"site.test:{port}") + b"early ")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\n\r\n"
        assert await reader.readexactly(6) == b"EARLY "
        writer.write(b"late")
        assert await reader.readexactly(4) == b"LATE"
        writer.write_eof()
        assert await reader.read() == b"!"
        assert listener.bytes == 21


async def test_large_bodies_arrive_whole(site: Origin) -> None:
    body = bytes(range(256)) * 20_000
    site.routes["/"] = page(body)
    async with listening() as listener:
        assert (await ask(listener, get(site.url()))).endswith(body)
        answer = await ask(listener, tunnel(f"{PUBLIC}:{site.port}"), b"GET / HTTP/1.1\r\n\r\n")
    assert answer.endswith(body)


async def test_a53_a_second_request_on_the_connection_goes_nowhere(site: Origin, other: Origin) -> None:
    site.keep_alive = True
    site.routes["/"] = page(b"first")
    other.routes["/"] = page(b"second")
    async with listening() as listener:
        answer = await ask(listener, get(site.url()) + get(other.url(), "Cookie: other=1"))
        assert listener.requests == 1
    assert answer.endswith(b"first")
    assert len(site.heads) == 1
    assert other.heads == []


async def test_a53_an_answer_that_was_not_asked_for_never_arrives(site: Origin) -> None:
    site.keep_alive = True
    site.routes["/"] = page(b"first") + page(b"planted")
    async with listening() as listener:
        for _ in range(2):
            answer = await ask(listener, get(site.url()))
            assert answer.endswith(b"first")
            assert b"planted" not in answer
    assert site.connections == 2


async def test_a54_the_url_decides_and_not_the_host_header(site: Origin, canary: Canary) -> None:
    site.routes["/"] = page(b"right")
    url = site.url(host="site.test")
    async with listening() as listener:
        answer = await ask(listener, f"GET {url} HTTP/1.1\r\nHost: 127.0.0.3:{canary.port}\r\n\r\n".encode())
    assert answer.endswith(b"right")
    assert site.header("Host") == [f"site.test:{site.port}"]


async def test_the_connection_to_an_origin_is_used_again(site: Origin, other: Origin) -> None:
    for origin in (site, other):
        origin.keep_alive = True
        origin.routes["*"] = page(origin.host.encode())
    async with listening() as listener:
        for path in ("/1", "/2", "/3"):
            assert (await ask(listener, get(site.url(path)))).endswith(PUBLIC.encode())
        # Another name is another site, even at the same address; and nobody else gets the connection.
        assert (await ask(listener, get(site.url("/4", host="site.test")))).endswith(PUBLIC.encode())
        assert (await ask(listener, get(other.url("/5")))).endswith(PUBLIC_TOO.encode())
    assert (site.connections, other.connections) == (2, 1)
    assert other.paths == ["/5"]


async def test_a_request_with_consequences_gets_a_new_connection(site: Origin) -> None:
    site.keep_alive = True
    site.routes["*"] = page()
    async with listening() as listener:
        await ask(listener, get(site.url()))
        await ask(listener, get(site.url()).replace(b"GET", b"DELETE"))
        await ask(listener, get(site.url(), "Content-Length: 0"))
    assert site.connections == 3


async def test_an_idle_connection_that_dies_costs_no_answer(site: Origin) -> None:
    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if site.connections > 1 or len(site.heads) == 1:
            writer.write(page(b"answer"))
            await writer.drain()
        else:
            raise ConnectionError

    site.keep_alive = True
    site.routes["/"] = answer_the_first
    async with listening() as listener:
        assert (await ask(listener, get(site.url()))).endswith(b"answer")
        assert (await ask(listener, get(site.url()))).endswith(b"answer")
    assert (site.connections, len(site.heads)) == (2, 3)


async def test_a_new_connection_that_dies_is_not_tried_again(site: Origin) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise ConnectionError

    site.routes["/"] = hang_up
    async with listening() as listener:
        assert await ask(listener, get(site.url())) == b""
    assert len(site.heads) == 1


async def test_idle_connections_end(site: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their age, by their number, and with the listener."""
    gone = asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(page())
        await writer.drain()
        await reader.read()
        gone.release()

    site.routes["*"] = answer
    async with asyncio.timeout(10):
        async with listening() as listener:
            monkeypatch.setattr("crawler.fetch.idle_connections._IDLE_SECONDS", 0.05)
            await ask(listener, get(site.url()))
            await gone.acquire()
            monkeypatch.setattr("crawler.fetch.idle_connections._IDLE_SECONDS", 60)
            monkeypatch.setattr("crawler.fetch.idle_connections._MAX_IDLE", 1)
            await ask(listener, get(site.url()))
            await ask(listener, get(site.url(host="site.test")))
            await gone.acquire()
        await gone.acquire()


MALFORMED = {
    "connect_port": b"CONNECT site.test:99999 HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect_no_port": b"CONNECT site.test HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect_userinfo": b"CONNECT a@127.0.0.2:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect_url": b"CONNECT http://127.0.0.2:80/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "userinfo": b"GET http://a:b@127.0.0.2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "two_hosts": b"GET http://127.0.0.2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no_host": b"GET http://127.0.0.2/ HTTP/1.1\r\n\r\n",
    "two_framings": b"POST http://127.0.0.2/ HTTP/1.1\r\nHost: x\r\n"
    b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two_lengths": b"POST http://127.0.0.2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "origin_form": b"GET / HTTP/1.1\r\nHost: 127.0.0.2\r\n\r\n",
    "https_in_the_clear": b"GET https://127.0.0.2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "file": b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "ftp": b"GET ftp://127.0.0.2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "no_http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bare_cr": b"GET http://127.0.0.2/ HTTP/1.1\r\nHost: x\r\nA: b\rc: d\r\n\r\n",
    "long_head": b"GET http://127.0.0.2/ HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (10 << 20) + b"\r\n\r\n",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_a54_malformed_requests_reach_nobody(case: str) -> None:
    async with listening() as listener:
        answer = await ask(listener, MALFORMED[case])
        status = answer.split(b"\r\n")[0]
        assert status in (b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 403 Forbidden", b"")
        assert listener.refused == 1
        assert listener.bytes == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.3", "[::1]", "inside.test", "localhost", "0.0.0.0", "[::ffff:127.0.0.3]"]
)
async def test_a54_forbidden_targets_are_refused(canary: Canary, host: str) -> None:
    async with listening() as listener:
        answer = await ask(listener, tunnel(f"{host}:{canary.port}"))
        assert answer.startswith(b"HTTP/1.1 403 ")
        # A plain request gets no answer: ours would be taken for the site's.
        assert await ask(listener, get(f"http://{host}:{canary.port}/")) == b""
        failure = listener.failure_for(host)
        assert failure is not None
        assert failure.code is ErrorCode.BLOCKED_DESTINATION
        assert listener.refused == 2


async def test_why_a_host_could_not_be_reached(site: Origin) -> None:
    async with serving(lambda reader, writer: asyncio.sleep(0), PUBLIC_TOO) as free:
        pass
    async with listening() as listener:
        assert (await ask(listener, tunnel("nowhere.test:80"))).startswith(b"HTTP/1.1 502 ")
        await ask(listener, tunnel(f"other.test:{free}"))
        missing, dead = listener.failure_for("NOWHERE.test."), listener.failure_for("other.test")
        assert missing is not None
        assert dead is not None
        assert (missing.code, dead.code) == (ErrorCode.DNS_FAILURE, ErrorCode.CONNECT_FAILED)
        site.routes["/"] = page()
        await ask(listener, get(site.url(host="other.test").replace("other.test", "site.test")))
        assert listener.failure_for("site.test") is None


async def test_only_so_many_failures_are_remembered() -> None:
    async with listening() as listener:
        for number in range(300):
            await ask(listener, tunnel(f"name{number}.internal:80"))
        assert listener.failure_for("name0.internal") is None
        assert listener.failure_for("name299.internal") is not None


async def test_a55_half_a_request_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.fetch.proxy._HEAD_SECONDS", 0.3)
    async with listening() as listener:
        assert await asyncio.wait_for(ask(listener, b"CONNECT site.te"), 5) == b""
        assert await asyncio.wait_for(ask(listener), 5) == b""


async def test_a55_connections_are_bounded() -> None:
    async with listening(max_page_connections=4) as listener:
        idle = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(4)]
        try:
            await until(lambda: listener.connections == 4)
            assert await ask(listener, tunnel("site.test:80")) == b""
            assert listener.refused == 1
        finally:
            for _, writer in idle:
                writer.transport.abort()
        await until(lambda: listener.connections == 0)
        assert (await ask(listener, tunnel("inside.test:80"))).startswith(b"HTTP/1.1 403")


async def test_a56_byte_budget_cuts_everything(site: Origin) -> None:
    site.routes["/big"] = page(bytes(8 << 20))
    site.routes["/small"] = page(b"small")
    async with listening(max_page_bytes=1 << 20) as listener:
        async with connection(listener) as (idle, writer):
            writer.write(tunnel(f"site.test:{site.port}"))
            await idle.readuntil(b"\r\n\r\n")
            answer = await ask(listener, get(site.url("/big")))
            assert len(answer) < 2 << 20
            assert await idle.read() == b""
        overrun = listener.overrun
        assert overrun is not None
        assert overrun.code is ErrorCode.TOO_LARGE
        assert await ask(listener, get(site.url("/small"))) == b""
        listener.start_page(60)
        assert not listener.overrun
        assert (await ask(listener, get(site.url("/small")))).endswith(b"small")


async def test_a56_byte_budget_holds_for_tunnels_in_both_directions() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass

    async with serving(swallow, PUBLIC) as port, listening(max_page_bytes=1 << 20) as listener:
        await ask(listener, tunnel(f"site.test:{port}"), bytes(8 << 20))
        assert listener.overrun is not None


async def test_a56_request_budget(site: Origin) -> None:
    site.routes["*"] = page()
    async with listening(max_page_requests=5) as listener:
        answers = [await ask(listener, get(site.url(f"/{number}"))) for number in range(8)]
        assert [bool(answer) for answer in answers] == [True] * 5 + [False] * 3
        assert listener.overrun is not None
    assert len(site.heads) == 5


async def test_the_deadline_of_a_page_cuts_its_tunnels() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(wait, PUBLIC) as port, listening() as listener:
        listener.start_page(0.3)
        async with connection(listener) as (reader, writer):
            writer.write(tunnel(f"site.test:{port}"))
            await reader.readuntil(b"\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert await ask(listener, tunnel(f"site.test:{port}")) == b""
        assert listener.overrun is None


async def test_a_later_page_does_not_shorten_the_time_of_an_earlier_one(site: Origin) -> None:
    site.routes["/"] = page(b"in time")
    async with listening() as listener:
        listener.start_page(60)
        listener.start_page(0.05)
        await asyncio.sleep(0.1)
        assert (await ask(listener, get(site.url()))).endswith(b"in time")


async def test_a_cut_listener_serves_nobody_until_the_next_page(site: Origin) -> None:
    site.routes["/"] = page(b"again")
    async with listening() as listener:
        await listener.cut()
        assert await ask(listener, get(site.url())) == b""
        listener.start_page(60)
        assert (await ask(listener, get(site.url()))).endswith(b"again")


async def test_a57_other_users_of_the_machine_are_refused(
    site: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.routes["/"] = page(b"mine")
    async with listening() as listener:
        assert (await ask(listener, get(site.url()))).endswith(b"mine")
        monkeypatch.setattr("os.getuid", lambda: 12345)
        assert await ask(listener, get(site.url())) == b""
        assert listener.refused == 1


async def test_the_browsers_connections_go_through_the_upstream_proxy_too(
    site: Origin, canary: Canary
) -> None:
    site.routes["/"] = page(b"through")
    heads: list[bytes] = []
    async with (
        upstream(b"HTTP/1.1 200 OK", heads) as port,
        listening(egress_upstream_proxy=f"http://127.0.0.1:{port}") as listener,
    ):
        url = site.url(host="only-the-proxy-knows.test")
        assert (await ask(listener, get(url))).endswith(b"through")
        answer = await ask(listener, tunnel(f"only-the-proxy-knows.test:{site.port}"), get("http://x/"))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 404")
        assert (await ask(listener, tunnel(f"127.0.0.3:{canary.port}"))).startswith(b"HTTP/1.1 403 ")
    target = f"CONNECT only-the-proxy-knows.test:{site.port} HTTP/1.1\r\n".encode()
    assert [head.startswith(target) for head in heads] == [True, True]


async def test_a59_the_proxy_does_not_reach_itself(site: Origin) -> None:
    async with listening(egress_allow_cidrs=("127.0.0.0/8",)) as listener:
        for target in ("127.0.0.1", "[::ffff:127.0.0.1]"):
            assert (await ask(listener, tunnel(f"{target}:{listener.port}"))).startswith(b"HTTP/1.1 403")


async def test_the_port_is_closed_with_the_listener() -> None:
    async with listening() as listener:
        pass
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)
