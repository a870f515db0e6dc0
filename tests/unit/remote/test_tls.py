"""https: the connection goes to a checked address, and the certificate must be the name's."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from infra.remote.fetch import GuardedFetcher, RemoteRefused
from tests.unit.remote.server import Network, WebServer, web_server
from tests.unit.remote.test_fetch import BODY, PUBLIC, fetched, names


def certificate(folder: Path, name: str) -> Path:
    """A certificate of its own for the name, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WebServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path, "a.example"))
    async with web_server(context) as made:
        made.says("/a", BODY)
        yield made


async def test_the_certificate_must_be_the_names(server: WebServer, tmp_path: Path) -> None:
    network = Network(server.port)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
    guarded = GuardedFetcher(resolve=names(a=[PUBLIC], b=[PUBLIC]), backend=network, tls=trusting)
    assert await fetched(guarded, "https://a.example/a") == BODY
    assert network.asked == [(PUBLIC, 443)]
    with pytest.raises(RemoteRefused):
        await fetched(guarded, "https://b.example/a")


async def test_a_certificate_that_nobody_signed_is_refused(server: WebServer) -> None:
    guarded = GuardedFetcher(resolve=names(a=[PUBLIC]), backend=Network(server.port))
    with pytest.raises(RemoteRefused):
        await fetched(guarded, "https://a.example/a")
