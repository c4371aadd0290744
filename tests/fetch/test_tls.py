"""TLS of origins (attack cases D14, C22; origin C20): verified, and never replaced by plain http."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crawler.model import ErrorCode, Failure, Response
from tests.fetch.origins import PUBLIC, fetching, page, serving

pytestmark = pytest.mark.usefixtures("canary")

NAMES = {"site.test": [[PUBLIC]], "else.test": [[PUBLIC]]}
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A certificate authority that these tests trust, and no other."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(self, *names: str, days: int = 1, self_signed: bool = False) -> ssl.SSLContext:
        """A server's context for a certificate that ends in `days`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(names[0])
        ends = datetime.datetime.now(datetime.UTC) + days * DAY
        builder = _builder(subject, subject if self_signed else self.certificate.subject, key, ends)
        general: list[x509.GeneralName] = [
            x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
        certificate = builder.sign(key if self_signed else self.key, hashes.SHA256())
        path = self.folder / f"{certificate.serial_number}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + _pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - 30 * DAY)
        .not_valid_after(ends)
    )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Test authority")
    ends = datetime.datetime.now(datetime.UTC) + 10 * DAY
    certificate = (
        _builder(name, name, key, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    return Authority(tmp_path, key, certificate)


@asynccontextmanager
async def secure(context: ssl.SSLContext | None, heads: list[bytes]) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if context is not None:
            await writer.start_tls(context)
            heads.append(await reader.readuntil(b"\r\n\r\n"))
        else:
            heads.append(await reader.read(1000))
        writer.write(page(b"secret"))
        await writer.drain()

    async with serving(serve, PUBLIC) as port:
        yield port


async def test_d14_trusted_certificates_are_accepted(authority: Authority) -> None:
    heads: list[bytes] = []
    async with secure(authority.issue("site.test", PUBLIC), heads) as port, fetching(names=NAMES) as fetcher:
        for host in ("site.test", "site.test.", PUBLIC):
            answer = await fetcher.fetch(f"https://{host}:{port}/")
            assert isinstance(answer, Response), answer
            assert answer.body == b"secret"
    assert len(heads) == 3


@pytest.mark.parametrize("case", ["expired", "self_signed", "wrong_host", "old_protocol", "plain_http"])
async def test_d14_c22_bad_tls_is_refused_and_no_request_is_sent(authority: Authority, case: str) -> None:
    context: ssl.SSLContext | None
    match case:
        case "expired":
            context = authority.issue("site.test", days=-1)
        case "self_signed":
            context = authority.issue("site.test", self_signed=True)
        case "wrong_host":
            context = authority.issue("else.test")
        case "old_protocol":
            context = authority.issue("site.test")
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        case _:
            context = None
    heads: list[bytes] = []
    async with secure(context, heads) as port, fetching(names=NAMES, tls_timeout_seconds=2) as fetcher:
        answer = await fetcher.fetch(f"https://site.test:{port}/", headers={"Authorization": "Basic x"})
    assert isinstance(answer, Failure)
    assert answer.code is ErrorCode.TLS_ERROR
    assert all(b"HTTP/1.1" not in head for head in heads)


async def test_d14_a_handshake_that_never_ends(authority: Authority) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass

    async with serving(stall, PUBLIC) as port, fetching(names=NAMES, tls_timeout_seconds=0.3) as fetcher:
        answer = await asyncio.wait_for(fetcher.fetch(f"https://site.test:{port}/"), 10)
    assert isinstance(answer, Failure)
    assert answer.code is ErrorCode.TIMEOUT
    assert answer.retryable
