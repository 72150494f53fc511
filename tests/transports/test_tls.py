# SPDX-License-Identifier: Apache-2.0
"""MQTT over TLS: whom the client trusts, and how it shows who it is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from e4core.errors import StorageError, TransportError
from e4core.transport import Incoming
from e4transports.mqtt import open_transport
from tests.servers import Mosquitto, ServerTls, StartMosquitto
from tests.transports.conftest import receive

VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])


class Authority:
    """A CA whose files stand in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        self.ca = self._write("ca.pem", self._certificate(self._name, self._key.public_key(), ca=True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Files of a certificate for host or client ``name``, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._folder / f"{name}.key"
        path.write_bytes(secret)
        return self._write(f"{name}.pem", self._certificate(subject, key.public_key(), ca=False)), path

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(UTC)
        host = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@VERSIONS
def test_a_client_certificate_and_a_password_open_the_door(
    start_mosquitto: StartMosquitto, authority: Authority, tmp_path: Path, version: str
) -> None:
    server = start_mosquitto(tls=_server(authority, client_ca=True), users={"alice": "pass word"})
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("pass word\n")
    cert, key = authority.issue("alice")
    uri = server.uri.replace("//", "//alice@")
    asyncio.run(_talk(f"{uri}?version={version}&ca={authority.ca}&cert={cert}&key={key}&password-file={password}"))


@VERSIONS
def test_without_the_client_certificate_it_stays_shut(
    start_mosquitto: StartMosquitto, authority: Authority, version: str
) -> None:
    server = start_mosquitto(tls=_server(authority, client_ca=True))
    with pytest.raises(TransportError, match="cert"):
        asyncio.run(_talk(f"{server.uri}?version={version}&ca={authority.ca}"))


def test_a_client_certificate_of_another_ca_is_refused(
    start_mosquitto: StartMosquitto, authority: Authority, tmp_path: Path
) -> None:
    server = start_mosquitto(tls=_server(authority, client_ca=True))
    cert, key = Authority(tmp_path / "stranger").issue("alice")
    with pytest.raises(TransportError, match="cert"):
        asyncio.run(_talk(f"{server.uri}?ca={authority.ca}&cert={cert}&key={key}"))


def test_a_server_of_another_ca_is_not_trusted(
    start_mosquitto: StartMosquitto, authority: Authority, tmp_path: Path
) -> None:
    server = start_mosquitto(tls=_server(authority))
    with pytest.raises(TransportError, match="certificate is not accepted"):
        asyncio.run(_talk(f"{server.uri}?ca={Authority(tmp_path / 'stranger').ca}"))
    with pytest.raises(TransportError, match="certificate is not accepted"):
        asyncio.run(_talk(server.uri))


def test_a_server_with_another_name_is_not_trusted(start_mosquitto: StartMosquitto, authority: Authority) -> None:
    cert, key = authority.issue("elsewhere.example")
    server = start_mosquitto(tls=ServerTls(authority.ca, cert, key))
    with pytest.raises(TransportError, match="certificate is not accepted"):
        asyncio.run(_talk(f"{server.uri}?ca={authority.ca}"))


def test_a_server_without_tls_is_said(mosquitto: Mosquitto, authority: Authority) -> None:
    with pytest.raises(TransportError, match=r"mqtts|TLS"):
        asyncio.run(_talk(f"mqtts://localhost:{mosquitto.port}?ca={authority.ca}"))


def test_a_server_with_tls_is_said_to_who_comes_without(start_mosquitto: StartMosquitto, authority: Authority) -> None:
    server = start_mosquitto(tls=_server(authority))
    with pytest.raises(TransportError, match="mqtts"):
        asyncio.run(_talk(f"mqtt://localhost:{server.port}"))


@pytest.mark.parametrize("option", ["ca", "cert", "key"])
def test_files_that_cannot_be_read_are_named(authority: Authority, tmp_path: Path, option: str) -> None:
    cert, key = authority.issue("alice")
    files = {"ca": authority.ca, "cert": cert, "key": key, option: tmp_path / "missing"}
    for content in (None, b"rubbish"):
        if content:
            files[option].write_bytes(content)
        with pytest.raises(StorageError, match="missing"):
            asyncio.run(_talk("mqtts://localhost?" + "&".join(f"{name}={path}" for name, path in files.items())))


def test_an_encrypted_key_is_refused_without_a_question_at_the_terminal(authority: Authority) -> None:
    cert, path = authority.issue("alice")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(StorageError, match="key"):
        asyncio.run(_talk(f"mqtts://localhost?ca={authority.ca}&cert={cert}&key={path}"))


def _server(authority: Authority, *, client_ca: bool = False) -> ServerTls:
    cert, key = authority.issue("localhost")
    return ServerTls(authority.ca, cert, key, authority.ca if client_ca else None)


async def _talk(uri: str) -> None:
    async with open_transport(uri, "") as both:
        await both.subscribe("t")
        await both.publish("t", bytes(100_000), 2)
        assert await receive(both, 1) == [Incoming("t", bytes(100_000))]
