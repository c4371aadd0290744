"""Difficult origins, part C and A14: TLS that is good, bad, or speaks HTTP/2 only."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crawler.fetch import chromium
from crawler.model import UrlStatus
from tests.engine.conftest import Engines
from tests.fetch.origins import PUBLIC, Script, origin, redirect, serving
from tests.fetch.test_tls import Authority, authority
from tests.origins.site import END, text

__all__ = ["authority"]

pytestmark = pytest.mark.slow


def over_tls(context: ssl.SSLContext, answer: Script) -> Script:
    """The same answer behind a handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(context)
        await answer(reader, writer)

    return serve


def answering(answer: bytes) -> Script:
    """One request, one answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


async def speak_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Whatever it is asked for, this origin begins with an empty SETTINGS frame (RFC 9113, 3.4)."""
    writer.write(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    await writer.drain()


def key_of(certificate: Path) -> str:
    """Base64 of the SHA-256 of its public key."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return base64.b64encode(digest).decode()


async def test_origin_a14_c20_c23_tls_is_verified_and_never_the_end_of_a_crawl(
    authority: Authority, engines: Engines, render: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, second = authority.issue("good.test"), authority.issue("second.test")
    second.set_alpn_protocols(["h2"])
    # Chromium has no trust store that a test could write to, but takes these keys for good.
    keys = ",".join(key_of(path) for path in authority.folder.glob("[0-9]*.pem"))
    monkeypatch.setattr(
        chromium, "_SWITCHES", (*chromium._SWITCHES, f"--ignore-certificate-errors-spki-list={keys}")
    )
    bad = {
        "expired": authority.issue("expired.test", days=-1),
        "self": authority.issue("self.test", self_signed=True),
        "wrong": authority.issue("else.test"),
    }
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(origin(PUBLIC))
        down = answering(redirect(site.url("/a14-end", host="site.test")))
        servers = {"good": over_tls(good, down), "second": over_tls(second, speak_http2)}
        servers |= {
            name: over_tls(context, answering(text("<title>secret</title>"))) for name, context in bad.items()
        }
        for name, script in servers.items():
            port = await stack.enter_async_context(serving(script, PUBLIC))
            site.routes[f"/{name}"] = redirect(f"https://{name}.test:{port}/")
        site.routes["/"] = text("".join(f"<a href=/{name}>x</a>" for name in servers))
        site.routes["/a14-end"] = END
        names = tuple(f"{name}.test={PUBLIC}" for name in ("site", *servers))
        engine = await stack.enter_async_context(
            engines(egress_allow_cidrs=(PUBLIC,), egress_hosts=names, max_attempts=1)
        )
        _, records = await engine.crawl(
            site.url(host="site.test"), render=render, source="links", formats=["html"]
        )
        found = {name: records[site.url(f"/{name}", host="site.test")] for name in servers}
        end = site.url("/a14-end", host="site.test")
    assert (found["good"].status, found["good"].title) == (UrlStatus.COMPLETED, "end")
    assert found["good"].final_url == end
    for name in bad:
        assert (found[name].status, found[name].reason) == (UrlStatus.ERRORED, "tls_error")
        assert found[name].html is None
    # The client that reads robots.txt speaks HTTP/1.1 only; without it nothing is rendered either.
    assert (found["second"].status, found["second"].reason) == (UrlStatus.DISALLOWED, "robots_unreachable")
