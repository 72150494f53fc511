# SPDX-License-Identifier: Apache-2.0
"""The vault driver when the server is sealed, gone, busy, strange or silent; on a real server with TLS, where there is one."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from threading import Event, Thread

import pytest

from e4core.errors import KmsError, KmsUnavailable
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms.vault import MECHANISM, VaultKms
from tests.kms.vault.conftest import OpenKms
from tests.kms.vault.server import DevBao, RaftBao

SECRET = Secret(bytes(range(100, 132)))
CONTEXT = b"the context"

Open = Callable[..., VaultKms]


@pytest.fixture
def open_raft(raft: RaftBao, secret_file: Callable[[str], Path], opened: OpenKms) -> Open:
    """Opens a new key on the server with TLS; takes other options, and another host."""
    token, key = secret_file(raft.admin), raft.make_key()

    def open_(options: str = f"ca={raft.ca}", host: str = "localhost") -> VaultKms:
        return opened(f"vault+https://{host}:{raft.port}/transit/keys/{key}?token-file={token}&{options}")

    return open_


def test_over_tls(open_raft: Open) -> None:
    kms = open_raft()
    kms.check()
    assert kms.unwrap(kms.wrap(SECRET, CONTEXT), CONTEXT) == SECRET


@pytest.mark.parametrize(("options", "host"), [("timeout=5", "localhost"), ("ca={ca}", "127.0.0.1")])
def test_a_server_that_cannot_be_trusted_gets_no_token(raft: RaftBao, open_raft: Open, options: str, host: str) -> None:
    with pytest.raises(KmsUnavailable, match="is not trusted"):
        open_raft(options.format(ca=raft.ca), host).check()


@pytest.mark.parametrize(
    "text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_file_without_certificates_is_refused(tmp_path: Path, opened: OpenKms, text: str) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(text)
    with pytest.raises(KmsError, match="mend the option ca"):
        opened(f"vault+https://localhost/transit/keys/e4?ca={path}")


def test_sealed_while_in_use_and_unsealed(raft: RaftBao, open_raft: Open) -> None:
    kms = open_raft("timeout=20&ca=" + str(raft.ca))
    wrapped = kms.wrap(SECRET, CONTEXT)
    raft.seal()
    for use in (lambda: kms.unwrap(wrapped, CONTEXT), lambda: kms.wrap(SECRET, CONTEXT), kms.check, kms.create_key):
        with pytest.raises(KmsUnavailable, match="unseal") as caught:
            use()
        assert caught.value.kind == "kms_sealed"
    raft.unseal()
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_stopped_and_started_again(raft: RaftBao, open_raft: Open) -> None:
    kms = open_raft("timeout=20&ca=" + str(raft.ca))
    wrapped = kms.wrap(SECRET, CONTEXT)
    raft.stop()
    for use in (lambda: kms.unwrap(wrapped, CONTEXT), lambda: kms.wrap(SECRET, CONTEXT), kms.check):
        with pytest.raises(KmsUnavailable, match="cannot be reached") as caught:
            use()
        assert caught.value.kind == "kms_unavailable"
    raft.start()
    with pytest.raises(KmsUnavailable) as sealed:
        kms.unwrap(wrapped, CONTEXT)
    assert sealed.value.kind == "kms_sealed"
    raft.unseal()
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_a_stopped_server_does_not_keep_it_from_closing(raft: RaftBao, open_raft: Open) -> None:
    kms = open_raft()
    kms.check()
    raft.stop()
    kms.close()


def test_too_many_requests(bao: DevBao, opened: OpenKms, root: str) -> None:
    mount = f"busy-{uuid.uuid4().hex}"
    bao.mount_transit(mount)
    name = bao.make_key(mount=mount)
    kms = opened(f"{bao.uri}/{mount}/keys/{name}?{root}")
    wrapped = kms.wrap(SECRET, CONTEXT)
    bao.ask("POST", f"sys/quotas/rate-limit/{mount}", {"path": f"{mount}/", "rate": 1, "interval": "1h"})
    with pytest.raises(KmsUnavailable) as caught:
        for _ in range(10):
            kms.unwrap(wrapped, CONTEXT)
    assert caught.value.kind == "kms_throttled"
    bao.ask("DELETE", f"sys/quotas/rate-limit/{mount}")
    assert kms.unwrap(wrapped, CONTEXT) == SECRET


def test_nobody_listens(opened: OpenKms, root: str) -> None:
    with pytest.raises(KmsUnavailable, match="cannot be reached"):
        opened(f"vault+http://127.0.0.1:1/transit/keys/e4?{root}").check()


def test_a_name_that_does_not_exist(opened: OpenKms, root: str) -> None:
    with pytest.raises(KmsUnavailable):
        opened(f"vault+https://nowhere.invalid/transit/keys/e4?timeout=0.5&{root}").check()


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("drops", [[], [_OK], [_OK + b"Content-Length: 99\r\n\r\n", *[b" "] * 98]])
def test_a_server_that_is_silent_or_slow_costs_no_more_than_the_deadline(
    opened: OpenKms, root: str, drops: list[bytes]
) -> None:
    # who waits until the slow one ends has another error
    with _server(drops, pause_s=0.05, hangs=len(drops) < 2) as port:
        kms = opened(f"vault+http://127.0.0.1:{port}/transit/keys/e4?timeout=0.3&{root}")
        with pytest.raises(KmsUnavailable, match=r"did not answer within 0\.3 seconds"):
            kms.check()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        _OK + b"Content-Length: 5\r\n\r\nhello",
        _OK + b"Content-Length: 2\r\n\r\n[]",
        _OK + b"Content-Length: 20000\r\n\r\n" + b"[" * 20000,
        _OK + b"Content-Length: 99\r\n\r\n{}",
        _OK + b"\r\n" + b" " * (2 << 20),
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nproxy",
    ],
)
def test_what_is_no_vault_is_unavailable(opened: OpenKms, root: str, answer: bytes) -> None:
    with _server([answer]) as port:
        kms = opened(f"vault+http://127.0.0.1:{port}/transit/keys/e4?{root}")
        with pytest.raises(KmsUnavailable) as caught:
            kms.check()
    assert "within" not in str(caught.value)


def test_a_redirect_is_not_followed_as_it_would_take_the_token_along(opened: OpenKms, root: str) -> None:
    redirect = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with _server([redirect]) as port, pytest.raises(KmsUnavailable, match="where we do not go"):
        opened(f"vault+http://127.0.0.1:{port}/transit/keys/e4?{root}").check()


_NO_LEADER = [b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b'{"errors": ["no active node"]}']


@pytest.mark.parametrize("failures", [[_NO_LEADER, _NO_LEADER], [[]]], ids=["no leader yet", "connection lost"])
def test_what_passes_at_once_is_tried_again(opened: OpenKms, root: str, failures: list[list[bytes]]) -> None:
    key = {
        "type": "aes256-gcm96",
        "derived": True,
        "supports_encryption": True,
        "exportable": False,
        "allow_plaintext_backup": False,
    }
    answers = [
        [_OK, b"\r\n", json.dumps({"data": data}).encode()] for data in ({}, key, {"ciphertext": "vault:v3:AAAA"})
    ]
    with _server(*failures, *answers[:2], *failures, answers[2]) as port:
        wrapped = opened(f"vault+http://127.0.0.1:{port}/transit/keys/e4?{root}").wrap(SECRET, CONTEXT)
    assert wrapped == Wrapped("e4:v3", MECHANISM, bytes(3))


@contextmanager
def _server(*scripts: list[bytes], pause_s: float = 0, hangs: bool = False) -> Iterator[int]:
    """Port of a server that sends, to each connection by its own script, the last one being for all others too, these bytes.

    Args: pause_s: after each item.  hangs: connections are then left open.
    """
    over = Event()

    def serve(connection: socket.socket, script: list[bytes]) -> None:
        with connection, suppress(OSError):
            _read_request(connection)
            for item in script:
                connection.sendall(item)
                over.wait(pause_s)
            if hangs:
                over.wait()

    def accept() -> None:
        left = list(scripts)
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                script = left.pop(0) if len(left) > 1 else left[0]
                threads.append(Thread(target=serve, args=(connection, script)))
                threads[-1].start()

    threads: list[Thread] = [Thread(target=accept)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def _read_request(connection: socket.socket) -> None:
    """All of it: who closes a connection with something unread resets it."""
    with connection.makefile("rb") as stream:
        lines = list(takewhile(lambda line: line != b"\r\n", stream))
        stream.read(sum(int(line.split()[1]) for line in lines if line.lower().startswith(b"content-length:")))
