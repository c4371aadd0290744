"""Redirects (attack cases A25 to A34, C15; origins A and B21): each hop is a new request under all rules."""

from __future__ import annotations

import asyncio

import pytest

from crawler.model import ErrorCode, Failure, Refusal, Response, UrlStatus
from tests.fetch.origins import PUBLIC, Canary, Origin, fetching, origin, page, redirect

pytestmark = pytest.mark.usefixtures("canary")


async def fetch(url: str, **options: object) -> Response | Failure | Refusal:
    async with fetching() as fetcher:
        return await fetcher.fetch(url, **options)  # type: ignore[arg-type]


async def code_of(url: str, **options: object) -> ErrorCode:
    answer = await fetch(url, **options)
    assert isinstance(answer, Failure), answer
    return answer.code


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_a26_redirect_to_a_private_address(site: Origin, canary: Canary, status: str) -> None:
    site.routes["/"] = redirect(f"http://127.0.0.3:{canary.port}/secret", status)
    assert await code_of(site.url()) is ErrorCode.BLOCKED_DESTINATION


async def test_a26_redirect_to_a_name_of_a_private_address(site: Origin, canary: Canary) -> None:
    site.routes["/"] = redirect(f"http://rebind-target.test:{canary.port}/")
    async with fetching(names={"rebind-target.test": [["127.0.0.3"]]}) as fetcher:
        answer = await fetcher.fetch(site.url())
    assert isinstance(answer, Failure)
    assert answer.code is ErrorCode.BLOCKED_DESTINATION


async def test_a27_five_good_hops_then_private(site: Origin, canary: Canary) -> None:
    for number in range(4):
        site.routes[f"/{number}"] = redirect(f"/{number + 1}")
    site.routes["/4"] = redirect(f"http://127.0.0.3:{canary.port}/")
    assert await code_of(site.url("/0")) is ErrorCode.BLOCKED_DESTINATION
    assert site.paths == ["/0", "/1", "/2", "/3", "/4"]


async def test_a28_loop(site: Origin) -> None:
    site.routes |= {"/a": redirect("/b"), "/b": redirect("/a")}
    assert await code_of(site.url("/a")) is ErrorCode.TOO_MANY_REDIRECTS
    assert len(site.heads) == 11


async def test_a28_the_limit_is_a_setting_and_an_argument(site: Origin) -> None:
    site.routes["*"] = redirect("/next")
    async with fetching(max_redirects=3) as fetcher:
        assert isinstance(await fetcher.fetch(site.url()), Failure)
        assert len(site.heads) == 4
        site.heads.clear()
        assert isinstance(await fetcher.fetch(site.url(), max_redirects=0), Failure)
        assert len(site.heads) == 1


async def test_origin_a2_chain_of_five_is_followed(site: Origin) -> None:
    statuses = ["301 A", "302 B", "303 C", "307 D", "308 E"]
    for number, status in enumerate(statuses):
        site.routes[f"/{number}"] = redirect(f"/{number + 1}", status)
    site.routes["/5"] = page(b"end")
    answer = await fetch(site.url("/0"))
    assert isinstance(answer, Response)
    assert (answer.url, answer.status, answer.body) == (site.url("/5"), 200, b"end")
    assert answer.redirects == tuple(site.url(f"/{number}") for number in range(5))


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd", "ftp://site.test/", "data:text/html,x", "javascript:alert(1)", "gopher://site.test/",
        "chrome://version", "about:blank", "blob:x", "", "http://", "http://[::1", "http://a b/", "http://%00/",
    ],
)  # fmt: skip
async def test_a29_a30_redirect_to_what_is_no_page(site: Origin, target: str) -> None:
    site.routes["/"] = redirect(target)
    assert await code_of(site.url()) is ErrorCode.BAD_REDIRECT


@pytest.mark.parametrize(
    "form", ["//127.0.0.3:{}/", "\\\\127.0.0.3:{}\\", "http:\\/127.0.0.3:{}/", "http:///127.0.0.3:{}/"]
)
async def test_a30_forms_that_a_browser_reads_as_a_host(site: Origin, canary: Canary, form: str) -> None:
    site.routes["/"] = redirect(form.format(canary.port))
    assert await code_of(site.url()) is ErrorCode.BLOCKED_DESTINATION


async def test_a30_location_of_100_kib(site: Origin) -> None:
    site.routes["/"] = redirect("/" + "a" * 100_000)
    assert await code_of(site.url()) is ErrorCode.PROTOCOL_ERROR


async def test_a30_location_longer_than_a_url_may_be(site: Origin) -> None:
    site.routes["/"] = redirect("/" + "a" * 5000)
    assert await code_of(site.url()) is ErrorCode.BAD_REDIRECT


async def test_a30_two_locations(site: Origin) -> None:
    site.routes["/differ"] = page(b"", "Location: /a", "Location: /b", status="302 Found")
    site.routes["/same"] = page(b"", "Location: /a", "Location: /a", status="302 Found")
    site.routes["/a"] = page()
    assert await code_of(site.url("/differ")) is ErrorCode.BAD_REDIRECT
    assert isinstance(await fetch(site.url("/same")), Response)


async def test_a30_origin_a12_bytes_beyond_ascii_are_requested_as_they_came(site: Origin) -> None:
    site.routes["/"] = page(b"", "Location: /caf\xc3\xa9 x\xff", status="302 Found")
    site.routes["/caf%C3%A9%20x%FF"] = page(b"found")
    answer = await fetch(site.url())
    assert isinstance(answer, Response)
    assert answer.body == b"found"


@pytest.mark.parametrize(
    ("location", "path"),
    [("../x", "/x"), ("?q=1", "/a/b?q=1"), ("x#frag", "/a/x"), ("./y/../z", "/a/z"), (" /trim ", "/trim")],
)
async def test_origin_a11_relative_locations(site: Origin, location: str, path: str) -> None:
    site.routes["/a/b"] = redirect(location)
    site.routes[path] = page()
    answer = await fetch(site.url("/a/b"))
    assert isinstance(answer, Response)
    assert answer.url == site.url(path)


@pytest.mark.parametrize("status", ["301 Moved", "300 Multiple Choices", "304 Not Modified"])
async def test_origin_a13_redirect_status_without_location_is_the_answer(site: Origin, status: str) -> None:
    site.routes["/"] = page(b"" if status.startswith("304") else b"choose", status=status)
    answer = await fetch(site.url())
    assert isinstance(answer, Response)
    assert answer.status == int(status[:3])


async def test_a31_refresh_header_is_not_followed(site: Origin, canary: Canary) -> None:
    site.routes["/"] = page(b"still here", f"Refresh: 0; url=http://127.0.0.3:{canary.port}/")
    answer = await fetch(site.url())
    assert isinstance(answer, Response)
    assert answer.body == b"still here"


async def test_a32_c15_nothing_personal_goes_to_another_origin(site: Origin, other: Origin) -> None:
    own = {"Authorization": "Basic c2VjcmV0", "X-Api-Key": "k"}
    site.routes["/"] = redirect("/same-origin")
    site.routes["/same-origin"] = redirect(other.url("/x"), "302 Found", "Set-Cookie: a=1; Path=/")
    other.routes["/x"] = redirect(site.url("/back"))
    site.routes["/back"] = page()
    assert isinstance(await fetch(site.url(), headers=own), Response)
    assert site.header("Authorization") == ["Basic c2VjcmV0"] * 3
    assert site.header("X-Api-Key") == ["k"] * 3
    for name in ("Authorization", "X-Api-Key", "Cookie", "Referer"):
        assert other.header(name) == [None]


async def test_c15_another_port_is_another_origin(site: Origin) -> None:
    async with origin(PUBLIC) as twin:
        site.routes["/"] = redirect(twin.url())
        twin.routes["/"] = page()
        assert isinstance(await fetch(site.url(), headers={"X-Api-Key": "k"}), Response)
        assert site.header("X-Api-Key") == ["k"]
        assert twin.header("X-Api-Key") == [None]


async def test_a33_the_caller_is_asked_before_each_hop(site: Origin, other: Origin) -> None:
    asked: list[tuple[str, str]] = []

    async def ask(from_url: str, to_url: str) -> Refusal | None:
        asked.append((from_url, to_url))
        return Refusal(UrlStatus.DISALLOWED, "robots") if to_url == other.url("/private") else None

    site.routes["/"] = redirect("/next")
    site.routes["/next"] = redirect(other.url("/private"))
    answer = await fetch(site.url(), on_redirect=ask)
    assert answer == Refusal(UrlStatus.DISALLOWED, "robots")
    assert asked == [(site.url(), site.url("/next")), (site.url("/next"), other.url("/private"))]
    assert other.heads == []


async def test_the_callers_own_waiting_does_not_count_against_the_fetch(site: Origin) -> None:
    async def wait(from_url: str, to_url: str) -> None:
        await asyncio.sleep(0.4)

    site.routes |= {"/": redirect("/a"), "/a": redirect("/b"), "/b": page()}
    answer = await fetch(site.url(), on_redirect=wait, timeout_seconds=0.6)
    assert isinstance(answer, Response)
    assert answer.elapsed_seconds < 0.6


async def test_a34_origin_a18_body_of_a_redirect_is_not_read(site: Origin) -> None:
    sent = 0
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Encoding: gzip\r\nContent-Length: 1073741824\r\n\r\n"
        )
        try:
            while sent < 1 << 30:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536
        finally:
            gone.set()

    site.routes |= {"/": endless, "/end": page(b"end")}
    answer = await fetch(site.url())
    await asyncio.wait_for(gone.wait(), 10)
    assert isinstance(answer, Response)
    assert answer.body == b"end"
    assert sent < 16 << 20  # what socket buffers swallowed before the connection was closed


async def test_redirects_without_body_keep_the_connection(site: Origin) -> None:
    site.keep_alive = True
    site.routes |= {"/": redirect("/end"), "/end": page()}
    assert isinstance(await fetch(site.url()), Response)
    assert site.connections == 1


async def test_origin_a5_cookie_that_opens_the_door(site: Origin) -> None:
    site.routes["/"] = [redirect("/", "302 Found", "Set-Cookie: seen=1; Path=/"), page(b"welcome")]
    async with fetching(names={"site.test": [[PUBLIC]]}) as fetcher:
        answer = await fetcher.fetch(site.url(host="site.test"))
    assert isinstance(answer, Response)
    assert answer.body == b"welcome"
    assert site.header("Cookie") == [None, "seen=1"]


async def test_origin_b21_cookies_last_for_one_fetch(site: Origin, other: Origin) -> None:
    cookies = ("Set-Cookie: a=1", "Set-Cookie: b=2; Path=/")
    site.routes |= {
        "/1": redirect("/2", "302 Found", *cookies),
        "/2": redirect(other.url("/", host="other.test")),
        "/3": page(),
    }
    other.routes["*"] = page()
    names = {"site.test": [[PUBLIC]], "other.test": [[other.host]]}
    async with fetching(names=names) as fetcher:
        for path in ("/1", "/3"):
            assert isinstance(await fetcher.fetch(site.url(path, host="site.test")), Response)
    assert site.header("Cookie") == [None, "a=1; b=2", None]
    assert other.header("Cookie") == [None]


async def test_c19_a_flood_of_cookies_is_bounded(site: Origin) -> None:
    for hop in range(9):
        flood = (f"Set-Cookie: c{hop}-{number}={'x' * 200}" for number in range(190))
        site.routes[f"/{hop}"] = redirect(f"/{hop + 1}", "302 Found", *flood)
    site.routes["/9"] = page()
    async with fetching(names={"site.test": [[PUBLIC]]}) as fetcher:
        assert isinstance(await fetcher.fetch(site.url("/0", host="site.test")), Response)
    sent = [value or "" for value in site.header("Cookie")]
    assert all(sent[1:])
    assert max(map(len, sent)) <= 8192
