# SPDX-License-Identifier: Apache-2.0
"""The certificate of the API changes while the C2 serves; a pair that cannot be used changes nothing."""

from __future__ import annotations

import asyncio
import logging
import select
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from cryptography import x509

from e4c2.api import certificates
from e4c2.api.certificates import Certificates
from tests.c2.authority import Authority
from tests.c2.pairs import self_signed
from tests.c2.served import PATIENCE_S, serving, settings_in
from tests.c2.test_app_command import Process


def connected(
    client_of: ssl.SSLContext, of: Certificates, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends, client first, after a whole handshake."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_of.wrap_bio(to_client, to_server, session=session)
    server = of.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (client, server):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return client, server


def shown(of: Certificates) -> int:
    """Serial number of the certificate that a client sees."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client, _ = connected(trusting, of)
    found = client.getpeercert(binary_form=True)
    assert found
    return x509.load_der_x509_certificate(found).serial_number


def serial(files: dict[str, Path]) -> int:
    return x509.load_pem_x509_certificate(files["tls_certificate"].read_bytes()).serial_number


def opened(files: dict[str, Path]) -> Certificates:
    return Certificates(files["tls_certificate"], files["tls_key"])


def watched(of: Certificates, until: Callable[[], bool], ask: bool = True) -> None:
    """Let it work until something holds."""

    async def work() -> None:
        task = asyncio.create_task(of.run())
        if ask:
            of.reload()
        async with asyncio.timeout(PATIENCE_S):
            while not until():  # noqa: ASYNC110  as a client would see it
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(work())


def test_a_new_pair_is_shown_after_it_was_asked_for(tmp_path: Path) -> None:
    first = self_signed(tmp_path)
    of, before = opened(first), serial(first)
    assert shown(of) == before
    self_signed(tmp_path)
    assert shown(of) == before, "nobody has looked yet"
    watched(of, lambda: shown(of) != before)
    assert shown(of) == serial(first)
    self_signed(tmp_path)
    watched(of, lambda: shown(of) == serial(first))


def test_a_new_pair_is_noticed_without_being_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "LOOK_EVERY_S", 0.01)
    files = self_signed(tmp_path)
    of, before = opened(files), serial(files)
    self_signed(tmp_path)
    watched(of, lambda: shown(of) != before, ask=False)


def other_key(files: dict[str, Path], folder: Path) -> None:
    folder.mkdir()
    files["tls_key"].write_bytes(self_signed(folder)["tls_key"].read_bytes())


def public_key(files: dict[str, Path], _folder: Path) -> None:
    self_signed(files["tls_key"].parent)["tls_key"].chmod(0o644)


WRONG: dict[str, Callable[[dict[str, Path], Path], object]] = {
    "another key": other_key,
    "no PEM": lambda files, _: files["tls_certificate"].write_text("no PEM"),
    "a key that others read": public_key,
    "no key": lambda files, _: files["tls_key"].unlink(),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_pair_keeps_the_former_one_and_is_told(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = self_signed(tmp_path)
    of, before = opened(files), serial(files)
    WRONG[wrong](files, tmp_path / "other")
    with caplog.at_level(logging.ERROR):
        watched(of, lambda: bool(caplog.records))
    assert "the former certificate stays in use" in caplog.text
    assert shown(of) == before
    self_signed(tmp_path)
    watched(of, lambda: shown(of) == serial(files))


def test_a_new_ca_of_clients_is_noticed_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LOOK_EVERY_S", 0.01)
    files, ca = self_signed(tmp_path), Authority(tmp_path)
    of = Certificates(files["tls_certificate"], files["tls_key"], ca.file)
    assert trusted_cas(of) == [ca.file.read_bytes()]
    Authority(tmp_path)
    watched(of, lambda: trusted_cas(of) == [ca.file.read_bytes()], ask=False)


def trusted_cas(of: Certificates) -> list[bytes]:
    """PEM of each."""
    return [ssl.DER_cert_to_PEM_cert(each).encode() for each in of.context.newest.get_ca_certs(binary_form=True)]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_outlives_the_ca_of_clients(tmp_path: Path, version: ssl.TLSVersion) -> None:
    files, ca = self_signed(tmp_path), Authority(tmp_path)
    of = Certificates(files["tls_certificate"], files["tls_key"], ca.file)
    ops = ca.pair("ops").trusting(files["tls_certificate"])
    ops.check_hostname, ops.maximum_version = False, version

    def resumed(session: ssl.SSLSession | None) -> tuple[bool | None, ssl.SSLSession | None]:
        client, server = connected(ops, of, session)
        assert server.getpeercert(binary_form=True)
        server.write(b"x")
        assert client.read(1) == b"x"  # and before it, in TLS 1.3, what resumes the session
        return server.session_reused, client.session

    _, session = resumed(None)
    assert resumed(session)[0]
    (tmp_path / "other").mkdir()
    ca.file.write_bytes(Authority(tmp_path / "other", "other").file.read_bytes())
    of.reload()
    watched(of, lambda: trusted_cas(of) == [ca.file.read_bytes()])
    with pytest.raises(ssl.SSLError):
        resumed(session)


def test_a_certificate_that_soon_expires_is_a_warning(tmp_path: Path) -> None:
    of = opened(self_signed(tmp_path))
    expires = of.expires.timestamp()
    assert of.warning(expires - certificates.WARN_WITHIN.total_seconds() - 60) is None
    assert "expires in 1 days" in str(of.warning(expires - 100_000))
    assert "has expired" in str(of.warning(expires + 1))


def reached(url: str, trusted: Path) -> httpx2.Response:
    """What is answered to who trusts this certificate alone, once it is in use."""
    trust = ssl.create_default_context(cafile=str(trusted))
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{url}/readyz", verify=trust, trust_env=False)
        assert time.monotonic() < deadline


def test_a_c2_that_serves_shows_the_new_one(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    with serving(settings_in(tmp_path, **files)) as c2:
        self_signed(tmp_path)
        trust = ssl.create_default_context(cafile=str(files["tls_certificate"]))
        with pytest.raises(httpx2.TransportError):
            httpx2.get(f"{c2.started.url}/livez", verify=trust, trust_env=False)
        c2.loop.call_soon_threadsafe(c2.started.reload)
        assert reached(c2.started.url, files["tls_certificate"]).json() == {"status": "degraded"}, (
            "it is valid for a day"
        )


def test_the_command_shows_the_new_one_on_sighup_and_goes_on(tmp_path: Path) -> None:
    files = self_signed(tmp_path)
    c2 = Process(tmp_path, **{f"E4_{name.upper()}": str(path) for name, path in files.items()})
    try:
        hung_up(c2)  # nothing has changed, so no look of its own would find anything
        self_signed(tmp_path)
        hung_up(c2)
        assert reached(c2.listening["url"], files["tls_certificate"]).status_code == 200
    finally:
        code = c2.end(signal.SIGTERM)[0]
    assert code == 0


def hung_up(c2: Process) -> None:
    """Send SIGHUP, and wait until the certificate was read."""
    assert c2.process.stderr
    c2.process.send_signal(signal.SIGHUP)
    assert select.select([c2.process.stderr], [], [], PATIENCE_S)[0], "it reads no certificate"
    assert "a new certificate is in use" in c2.process.stderr.readline()


def test_without_a_certificate_the_command_goes_on_after_sighup(tmp_path: Path) -> None:
    c2 = Process(tmp_path)
    try:
        c2.process.send_signal(signal.SIGHUP)
        assert c2.http.get("/readyz").status_code == 200
    finally:
        code = c2.end(signal.SIGTERM)[0]
    assert code == 0
