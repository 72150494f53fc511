# SPDX-License-Identifier: Apache-2.0
"""The servers that the tests of this folder share; each test has keys, policies and roles of its own there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e4kms.vault import VaultKms, open_kms
from tests.kms.vault.server import POLICY, Bao, DevBao, RaftBao, bao_program

OpenKms = Callable[..., VaultKms]


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevBao]:
    """A dev server with a transit engine and the ways to log in; it is up all the time."""
    server = DevBao(bao_program(), tmp_path_factory.mktemp("bao"))
    try:
        server.start()
        server.until_it_serves()
        server.mount_transit()
        for method in ("approle", "jwt", "kubernetes"):
            server.ask("POST", f"sys/auth/{method}", {"type": method})
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _raft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RaftBao]:
    server = RaftBao(bao_program(), tmp_path_factory.mktemp("raft"))
    try:
        server.prepare()
        yield server
    finally:
        server.stop()


@pytest.fixture
def raft(_raft: RaftBao) -> Iterator[RaftBao]:
    """A server on disk, with TLS; the test may seal and stop it."""
    yield _raft
    _raft.recover()


@pytest.fixture
def key(bao: DevBao) -> str:
    """The name of a new key on the dev server."""
    return bao.make_key()


@pytest.fixture
def secret_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a private file with this line."""
    made: list[Path] = []

    def write(text: str) -> Path:
        path = tmp_path / f"secret-{len(made)}"
        path.touch(0o600)
        path.write_text(text + "\n")
        made.append(path)
        return path

    return write


@pytest.fixture
def opened() -> Iterator[OpenKms]:
    """Opens the KMS at a URI, and closes it after the test."""
    made: list[VaultKms] = []

    def open_(uri: str) -> VaultKms:
        made.append(open_kms(uri))
        return made[-1]

    yield open_
    for kms in made:
        kms.close()


@pytest.fixture
def uri(bao: DevBao, key: str, secret_file: Callable[[str], Path]) -> str:
    """The URI of ``key``, with a token that may do no more than it must."""
    return f"{bao.uri}/transit/keys/{key}?token-file={secret_file(limited_token(bao, key))}"


@pytest.fixture
def kms(uri: str, opened: OpenKms) -> VaultKms:
    return opened(uri)


@pytest.fixture
def root(bao: DevBao, secret_file: Callable[[str], Path]) -> str:
    """The option of a URI that brings the token of the administrator of the dev server."""
    return f"token-file={secret_file(bao.admin)}"


def limited_token(bao: Bao, key: str, **options: object) -> str:
    token: str = bao.make_token(bao.make_policy(POLICY.format(key=key)), **options)["client_token"]
    return token
