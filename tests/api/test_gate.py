"""Routes, tokens and the envelope (contract F 1 to 9; security C3 to C5, C26, C32 to C36)."""

from __future__ import annotations

import asyncio
import gzip
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select

from api import crawls, health
from api.app import PREFIXES
from api.exposure import check_host, refuse_open_bind
from api.first_token import generated_token
from api.gate import PUBLIC_PATHS
from crawler.errors import ConfigurationError, InvalidRequest
from crawler.settings import Settings
from crawler.store.accounts import Accounts, Scope
from crawler.store.database import Database
from crawler.store.schema import tokens
from tests.api.server import TOKEN, Server, serving, settings

Tenants = tuple[dict[str, Server], Accounts]

UNAUTHORIZED = {
    "success": False,
    "errors": [{"code": 10000, "message": "Authentication error"}],
    "messages": [],
    "result": None,
}


def code(answer: httpx.Response) -> int:
    """The number of the only error of a failure in the envelope."""
    content = answer.json()
    assert content["success"] is False
    assert content["result"] is None
    assert content["messages"] == []
    [error] = content["errors"]
    assert set(error) == {"code", "message"}
    number: int = error["code"]
    return number


@pytest.mark.parametrize("prefix", ["/client/v4", ""])
@pytest.mark.parametrize("product", ["browser-rendering", "browser-run"])
async def test_f1_every_spelling_of_the_path_works(
    server: Server, prefix: str, product: str, endless_seed: str
) -> None:
    other = replace(server, prefix=prefix, product=product)
    crawl_id = await other.create(url=endless_seed)
    assert (await server.read(crawl_id))["id"] == crawl_id
    cancelled = await other.request("DELETE", f"/{crawl_id}")
    assert cancelled.json()["result"]["job_id"] == crawl_id
    receipt = (await other.request("GET", f"/{crawl_id}/receipt")).json()["result"]
    assert receipt["discovered"] == 1


async def test_f4_no_credentials_get_401(server: Server) -> None:
    answer = await server.http.get(server.base)
    assert answer.status_code == 401
    assert answer.json() == UNAUTHORIZED
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_f6_key_and_email_are_accepted_where_they_are_configured(tmp_path: Path) -> None:
    chosen = settings(tmp_path, api_key="k" * 32, api_key_email="me@a.test")
    async with serving(chosen) as server:
        for email, key, status in (
            ("me@a.test", "k" * 32, 200),
            ("ME@a.test", "k" * 32, 200),
            ("you@a.test", "k" * 32, 401),
            ("me@a.test", "x" * 32, 401),
            ("me@a.test", "", 401),
        ):
            headers = {"X-Auth-Email": email, "X-Auth-Key": key}
            assert (await server.http.get(server.base, headers=headers)).status_code == status


async def test_f6_key_and_email_are_refused_where_they_are_not_configured(server: Server) -> None:
    headers = {"X-Auth-Email": "", "X-Auth-Key": "", "Authorization": f"Bearer {TOKEN}"}
    assert (await server.request("GET", headers=headers)).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_f7_the_scheme_has_no_case(server: Server, scheme: str) -> None:
    answer = await server.request("GET", headers={"Authorization": f"{scheme} {TOKEN}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/nope", "/client/v4/accounts/a/browser-rendering/screenshot", "/client/v4/accounts/a/x/crawl"],
)
async def test_f8_an_unknown_route_answers_in_the_envelope(server: Server, path: str) -> None:
    answer = await server.request("GET", server.origin + path)
    assert (answer.status_code, code(answer)) == (404, 404)
    assert answer.headers["content-type"] == "application/json"


async def test_a_trailing_slash_is_another_path(server: Server, endless_seed: str) -> None:
    answer = await server.request("POST", "/", json={"url": endless_seed})
    assert (answer.status_code, code(answer)) == (404, 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "crawl", {"GET", "POST"}),
        ("PATCH", "crawl/x", {"DELETE", "GET"}),
        ("POST", "crawl/75e52ef5-bebe-45a1-897e-d1c0bb23045a", {"DELETE", "GET"}),
        ("GET", "crawl/x/retry", {"POST"}),
        ("PUT", "schedules", {"GET", "POST"}),
        ("PUT", "schedules/x", {"DELETE", "GET", "PATCH"}),
        ("POST", "/health", {"GET"}),
        ("POST", "/docs", {"GET", "HEAD"}),
    ],
)
async def test_another_method_is_told_all_that_there_are(
    server: Server, method: str, path: str, allowed: set[str]
) -> None:
    base = server.origin if path.startswith("/") else server.base.removesuffix("crawl")
    answer = await server.request(method, base + path)
    assert (answer.status_code, code(answer)) == (405, 405)
    assert set(answer.headers["allow"].split(", ")) == allowed


@pytest.fixture
async def tenants(each_server: Server) -> AsyncIterator[Tenants]:
    """A server with two accounts, a and b, each with a token that may write."""
    async with Database(each_server.settings.database) as database:
        accounts = Accounts(database)
        servers = {}
        for name in ("a", "b"):
            token = await accounts.create_token(name, Scope.WRITE)
            servers[name] = replace(each_server, account=name, token=token.text)
        yield servers, accounts


async def test_f9_c26_another_accounts_crawl_does_not_exist(tenants: Tenants, endless_seed: str) -> None:
    servers, _ = tenants
    a, b = servers["a"], servers["b"]
    theirs = await a.create(url=endless_seed)
    unknown = str(uuid4())
    for method in ("GET", "DELETE"):
        answers = [
            await b.request(method, f"/{crawl_id}") for crawl_id in (theirs, unknown, "x", "a" * 5_000)
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.text for answer in answers}) == 1
        assert len({tuple(sorted(_stable(answer.headers))) for answer in answers}) == 1
        assert code(answers[0]) == 404
    assert (await b.request("GET", "/..%2F..%2Fx")).status_code == 404
    assert (await b.request("GET", f"/{unknown}%00")).status_code == 404
    assert (await b.request("GET", f"/{theirs}/receipt")).status_code == 404
    assert (await a.read(theirs))["status"] == "running"
    assert (await b.request("GET")).json()["result"]["crawls"] == []


def _stable(headers: httpx.Headers) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in headers.items() if name != "date")


async def test_c26_another_account_does_not_exist(tenants: Tenants, endless_seed: str) -> None:
    servers, _ = tenants
    crawl_id = await servers["a"].create(url=endless_seed)
    elsewhere = replace(servers["b"], account="a")
    for method, path in (("GET", f"/{crawl_id}"), ("DELETE", f"/{crawl_id}"), ("GET", ""), ("POST", "")):
        answer = await elsewhere.request(method, path)
        assert (answer.status_code, code(answer)) == (404, 404)
    nowhere = replace(servers["b"], account="no-such-account")
    assert (await nowhere.request("GET")).text == (await elsewhere.request("GET")).text


async def test_a_token_that_may_only_read_cannot_write(tenants: Tenants, endless_seed: str) -> None:
    servers, accounts = tenants
    crawl_id = await servers["a"].create(url=endless_seed)
    reader = replace(servers["a"], token=(await accounts.create_token("a", Scope.READ)).text)
    assert (await reader.request("GET", f"/{crawl_id}")).status_code == 200
    assert (await reader.request("GET")).status_code == 200
    for answer in (await reader.post({"url": endless_seed}), await reader.request("DELETE", f"/{crawl_id}")):
        assert (answer.status_code, code(answer)) == (403, 10000)


async def test_an_admin_acts_for_every_account(tenants: Tenants, endless_seed: str) -> None:
    servers, _ = tenants
    crawl_id = await servers["a"].create(url=endless_seed)
    admin = replace(servers["a"], token=TOKEN)
    assert (await admin.read(crawl_id))["id"] == crawl_id
    assert await replace(admin, account="brand.new_1").create(url=endless_seed)
    for account in ("%00", "a%20b", "x" * 65):
        assert (await replace(admin, account=account).post({"url": endless_seed})).status_code == 404


async def test_c3_a_body_that_is_too_large_is_refused(server: Server) -> None:
    body = b'{"url":"' + b"a" * (1 << 20) + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = await server.request("POST", content=body, headers=headers)
    assert (answer.status_code, code(answer)) == (413, 413)


async def test_c3_an_endless_body_is_refused(server: Server) -> None:
    reader, writer = await _open_post(server.port, "Transfer-Encoding: chunked")
    for _ in range(65):
        writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        await writer.drain()
    assert b" 413 " in await _first_line(reader, writer)


async def test_c3_a_slow_body_is_cut_off(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, body_timeout_seconds=0.5)) as server:
        reader, writer = await _open_post(server.port, "Content-Length: 1000")
        writer.write(b"{")
        assert b" 408 " in await _first_line(reader, writer)


async def _open_post(port: int, framing: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /accounts/a/browser-run/crawl HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\n{framing}\r\n\r\n".encode()
    )
    return reader, writer


async def _first_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    async with asyncio.timeout(20):
        line = await reader.readline()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return line


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP"])
async def test_c4_a_compressed_body_is_refused(server: Server, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await server.request("POST", content=gzip.compress(b"{}" * 1000), headers=headers)
    assert (answer.status_code, code(answer)) == (415, 415)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"{", b'{"url":"http://a.b/","url":"http://c.d/"}']
)
async def test_c5_f30_a_body_that_is_no_request_is_refused(server: Server, body: bytes) -> None:
    answer = await server.request("POST", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, code(answer)) == (400, 400)


async def test_c5_no_body_at_all_is_refused(server: Server) -> None:
    answer = await server.request("POST")
    assert (answer.status_code, code(answer)) == (400, 400)


@pytest.mark.slow
async def test_c32_every_route_but_a_few_needs_a_token(server: Server) -> None:
    routes = [(prefix, route) for prefix in PREFIXES for route in crawls.router.routes]
    routes += [("", route) for route in health.router.routes]
    assert len(routes) > 20
    for prefix, route in routes:
        assert isinstance(route, APIRoute)
        path = (prefix + route.path).format(account_id="a", crawl_id=str(uuid4()))
        for method in route.methods or ():
            answer = await server.http.request(method, server.origin + path)
            assert (answer.status_code != 401) == (path in PUBLIC_PATHS), path
    for path in PUBLIC_PATHS:
        assert (await server.http.get(server.origin + path)).status_code in {200, 503}
    assert (await server.http.get(f"{server.origin}/docs/oauth2-redirect")).status_code == 401


def test_c33_other_machines_are_not_let_in_without_a_chosen_token(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "", "192.168.1.5", "crawler.test"):
        with pytest.raises(ConfigurationError, match="CRAWL_API_TOKEN"):
            refuse_open_bind(settings(tmp_path, api_token="", host=host))
        refuse_open_bind(settings(tmp_path, host=host))
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.9"):
        refuse_open_bind(settings(tmp_path, api_token="", host=host))


async def test_c33_a_token_is_made_once_and_opens_every_account(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "data", api_token="")
    token, is_new = generated_token(chosen)
    assert is_new
    assert generated_token(chosen) == (token, False)
    assert stat.S_IMODE((tmp_path / "data" / "token").stat().st_mode) == 0o600
    for _ in range(2):
        async with serving(chosen) as server:
            assert (await replace(server, token=token).request("GET")).status_code == 200
            assert (await server.request("GET")).status_code == 401


def test_c33_a_file_that_holds_no_token_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    with pytest.raises(ConfigurationError, match="holds no token"):
        generated_token(settings(tmp_path))


async def test_only_the_configured_token_of_now_is_valid(tmp_path: Path) -> None:
    async with serving(settings(tmp_path)) as server:
        assert (await server.request("GET")).status_code == 200
    async with serving(settings(tmp_path, api_token="another")) as server:
        assert (await server.request("GET")).status_code == 401
        assert (await replace(server, token="another").request("GET")).status_code == 200
    async with serving(settings(tmp_path, api_token="")) as server:
        assert (await replace(server, token="another").request("GET")).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer null", "Bearer undefined", "Basic dXNlcjpwYXNz", TOKEN),
        *(f"Bearer {TOKEN}x", f"Bearer {TOKEN} {TOKEN}", "Bearer " + "a" * 10_240),
        "Bearer crk_0123456789ab_" + "A" * 43,
    ],
)
async def test_c34_what_is_no_token_gets_401(server: Server, header: str) -> None:
    answer = await server.request("GET", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.json() == UNAUTHORIZED


async def test_c34_a_token_in_the_query_is_ignored(server: Server) -> None:
    answer = await server.http.get(server.base, params={"token": TOKEN, "access_token": TOKEN})
    assert answer.status_code == 401


async def test_c34_expired_and_revoked_tokens_get_401(tenants: Tenants) -> None:
    servers, accounts = tenants
    expired = await accounts.create_token("a", Scope.WRITE, lifetime=timedelta(milliseconds=1))
    revoked = await accounts.create_token("a", Scope.WRITE)
    assert (await replace(servers["a"], token=revoked.text).request("GET")).status_code == 200
    assert await accounts.revoke_token(revoked.id)
    assert not await accounts.revoke_token(revoked.id)
    right_id_wrong_secret = revoked.text[:-43] + servers["a"].token[-43:]
    for text in (expired.text, revoked.text, right_id_wrong_secret):
        answer = await replace(servers["a"], token=text).request("GET")
        assert answer.json() == UNAUTHORIZED


async def test_c34_the_database_holds_no_token(tenants: Tenants) -> None:
    servers, accounts = tenants
    async with Database(servers["a"].settings.database) as database, database.read() as connection:
        rows = (await connection.execute(select(tokens))).all()
    assert len(rows) == 2
    for text in (servers["a"].token, servers["b"].token, TOKEN):
        assert text[-43:] not in repr(rows)
    listed = await accounts.list_tokens("a")
    assert [(token.account_id, token.scope) for token in listed] == [("a", Scope.WRITE)]
    assert servers["a"].token[-43:] not in repr(listed)


@pytest.mark.slow
async def test_c35_many_wrong_tokens_from_one_address_get_429(tmp_path: Path) -> None:
    async with serving(settings(tmp_path, failed_logins_per_minute=5)) as server:
        wrong = replace(server, token="wrong")
        answers = [await wrong.request("GET") for _ in range(20)]
        statuses = [answer.status_code for answer in answers]
        assert statuses[:5] == [401] * 5
        assert 429 in statuses
        limited = next(answer for answer in answers if answer.status_code == 429)
        assert code(limited) == 2001
        assert 0 < int(limited.headers["retry-after"]) <= 60
        # The right token passes, even from there; and from elsewhere a wrong one is told so.
        assert (await server.request("GET")).status_code == 200
        elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.9")
        async with httpx.AsyncClient(transport=elsewhere) as client:
            answer = await client.get(server.base, headers={"Authorization": "Bearer wrong"})
            assert answer.status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "", "localhost.evil.test"]
)
async def test_c36_an_unknown_host_name_is_refused(server: Server, host: str) -> None:
    answer = await server.request("GET", headers={"Host": host})
    assert (answer.status_code, code(answer)) == (400, 400)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8787", "10.0.0.1"])
async def test_c36_addresses_and_localhost_are_answered(server: Server, host: str) -> None:
    assert (await server.request("GET", headers={"Host": host})).status_code == 200


def test_c36_names_are_answered_where_they_are_allowed(tmp_path: Path) -> None:
    check_host("crawler.test", settings(tmp_path, host="0.0.0.0"))
    named: Settings = settings(tmp_path, host="0.0.0.0", allowed_hosts=("Crawler.test",))
    check_host("crawler.TEST:8787", named)
    with pytest.raises(InvalidRequest):
        check_host("evil.test", named)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
async def test_c36_a_body_that_browsers_send_unasked_is_refused(server: Server, content_type: str) -> None:
    headers = {"Content-Type": content_type, "Origin": "http://evil.test"}
    answer = await server.request("POST", content=b'{"url":"http://a.test/"}', headers=headers)
    assert (answer.status_code, code(answer)) == (415, 415)
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_health_and_readiness_need_no_token(server: Server) -> None:
    assert (await server.http.get(f"{server.origin}/health")).json() == {"status": "ok"}
    answer = await server.http.get(f"{server.origin}/ready")
    assert answer.status_code == (200 if answer.json()["status"] == "ok" else 503)
    assert {"database", "schema", "broker", "work"} <= answer.json()["parts"].keys()
    warned = ["Chromium runs without its sandbox (CRAWL_ALLOW_UNSANDBOXED)"]
    assert answer.json()["warnings"] == (warned if os.geteuid() == 0 else [])
