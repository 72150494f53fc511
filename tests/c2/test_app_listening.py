# SPDX-License-Identifier: Apache-2.0
"""Where the API listens, with and without TLS, and how it comes to an end."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import httpx2
import pytest

from e4core.errors import Conflict, InvalidInput, StorageError
from tests.c2.pairs import self_signed
from tests.c2.served import PATIENCE_S, problem, serving, settings_in
from tests.servers import StartMosquitto


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    return self_signed(tmp_path)


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Conflict, match="in use"), serving(settings_in(tmp_path, port=port)):
            pass
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_machine_is_refused(tmp_path: Path, certificate: dict[str, Path]) -> None:
    settings = settings_in(tmp_path, host="192.0.2.1", **certificate)
    with pytest.raises(InvalidInput, match=r"192\.0\.2\.1"), serving(settings):
        pass


def test_it_is_ready_only_while_the_broker_is_there(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    with serving(settings_in(tmp_path, broker=broker.uri)) as c2:
        broker.kill()
        wait_for_status(c2.http, "/v1/ready", 503)
        assert c2.http.get("/v1/health").status_code == 200
        c2.topic("made meanwhile")
        broker.start()
        wait_for_status(c2.http, "/v1/ready", 200)


def wait_for_status(http: httpx2.Client, path: str, status: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (answer := http.get(path)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    if status >= 400:
        problem(answer, status)


def test_running_requests_are_finished_when_it_stops(tmp_path: Path) -> None:
    body = b'{"name": "in time"}'
    with serving(settings_in(tmp_path)) as c2:
        address = ("127.0.0.1", httpx2.URL(c2.started.url).port)
        lines = (
            "POST /v1/topics HTTP/1.1",
            "Host: c2",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Authorization: Bearer {c2.token}",
            "Expect: 100-continue",
        )
        with socket.create_connection(address, timeout=PATIENCE_S) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            assert connection.recv(1024).startswith(b"HTTP/1.1 100")
            c2.stop()
            wait_until_refused(address)
            connection.sendall(body)
            assert connection.recv(1024).startswith(b"HTTP/1.1 201")


def wait_until_refused(address: tuple[str, int | None]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(address):
                return
        time.sleep(0.01)
    pytest.fail(f"{address} still accepts connections")


def test_with_a_certificate_it_speaks_tls_only(tmp_path: Path, certificate: dict[str, Path]) -> None:
    trust = ssl.create_default_context(cafile=str(certificate["tls_certificate"]))
    with serving(settings_in(tmp_path, **certificate)) as c2:
        assert c2.started.url.startswith("https://127.0.0.1:")
        assert httpx2.get(f"{c2.started.url}/v1/health", verify=trust, trust_env=False).status_code == 200
        with pytest.raises(httpx2.TransportError):
            httpx2.get(c2.started.url.replace("https", "http") + "/v1/health", trust_env=False)


@pytest.mark.parametrize("broken", ["tls_certificate", "tls_key"])
def test_bad_tls_files_are_refused(tmp_path: Path, certificate: dict[str, Path], broken: str) -> None:
    certificate[broken].write_text("no PEM")
    with pytest.raises(StorageError, match="TLS"), serving(settings_in(tmp_path, **certificate)):
        pass


@pytest.mark.parametrize("others", [0o040, 0o004])
def test_a_tls_key_that_others_may_have_read_is_refused_with_the_remedy(
    tmp_path: Path, certificate: dict[str, Path], others: int
) -> None:
    certificate["tls_key"].chmod(0o600 | others)
    remedy = f"open to others .* run: chmod 600 {certificate['tls_key']}$"
    with pytest.raises(StorageError, match=remedy), serving(settings_in(tmp_path, **certificate)):
        pass


@pytest.mark.parametrize("missing", ["tls_certificate", "tls_key"])
def test_missing_tls_files_are_refused(tmp_path: Path, certificate: dict[str, Path], missing: str) -> None:
    certificate[missing].unlink()
    with pytest.raises(StorageError, match="TLS: No such file"), serving(settings_in(tmp_path, **certificate)):
        pass
