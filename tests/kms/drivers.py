# SPDX-License-Identifier: Apache-2.0
"""Every driver with the real thing behind it: how it is made ready, what is secret in it, and what may happen to it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest

from e4core.errors import KeyNotFound, KmsDenied, KmsError, KmsUnavailable
from e4kms import file as kek_file
from e4kms import pkcs11
from tests.kms.awskms.conftest import CREDENTIALS
from tests.kms.awskms.servers import REGION, Fault, drop, moto_server, proxy_before, refusal
from tests.kms.conftest import AnyToken
from tests.kms.pkcs11.conftest import new_key
from tests.kms.pkcs11.tokens import TOKENS
from tests.kms.vault.server import POLICY, RaftBao, bao_program

LOST = "the token is gone"


@dataclass(frozen=True)
class Failure:
    """Something that happens to a KMS and ends, and the error that it is to whoever wants a key opened meanwhile."""

    happens: Callable[[], AbstractContextManager[None]]
    error: type[KmsError]
    kind: str


@dataclass(frozen=True)
class Driver:
    """``every``: how many positions of a wrap lie from one that is flipped in the test to the next; 1: all are."""

    name: str
    uri: str
    secrets: tuple[bytes, ...]
    failures: dict[str, Failure]
    every: int = 1


@dataclass
class Site:
    """Where drivers are made ready, for a module of tests; all ends with ``stack``."""

    folder: Path
    stack: ExitStack
    any_token: AnyToken
    environment: pytest.MonkeyPatch
    _drivers: dict[str, Driver] = field(default_factory=dict)
    _count: int = 0

    def ready(self, name: str) -> Driver:
        """One of `DRIVERS`."""
        if name not in self._drivers:
            self._drivers[name] = DRIVERS[name](self)
        return self._drivers[name]

    def private(self, text: bytes) -> Path:
        self._count += 1
        path = self.folder / f"private-{self._count}"
        path.touch(0o600)
        path.write_bytes(text)
        return path

    def kek(self) -> tuple[Path, bytes]:
        """A new KEK file, and the key in it."""
        self._count += 1
        path = self.folder / f"kek-{self._count}.json"
        assert kek_file.create(path)
        return path, base64.b64decode(json.loads(path.read_bytes())["key"])


def _file(site: Site) -> Driver:
    path, key = site.kek()
    failures = {
        "it is gone": Failure(_gone(path), KeyNotFound, "kms_key_not_found"),
        "another key is in it": Failure(_holds(path, site.kek()[0].read_bytes()), KeyNotFound, "kms_key_not_found"),
        "others may read it": Failure(_readable(path), KmsError, "kms"),
    }
    return Driver("file", path.as_uri(), (key,), failures)


def _passphrase(site: Site) -> Driver:
    name, phrase = f"FLEET_{os.urandom(4).hex()}", _phrase()
    site.environment.setenv(name, phrase.decode())

    def put(text: bytes) -> Callable[[], object]:
        return lambda: os.environ.update({name: text.decode()})

    failures = {
        "it is not set": Failure(_between(lambda: os.environ.pop(name), put(phrase)), KeyNotFound, "kms_key_not_found"),
        "it is another": Failure(_between(put(_phrase()), put(phrase)), KmsDenied, "kms_passphrase_wrong"),
    }
    return Driver("passphrase", f"passphrase:env:{name}", (phrase,), failures)


def _shamir(site: Site) -> Driver:
    """Both are needed, so that a change of either matters."""
    path, key = site.kek()
    phrase = _phrase()
    other = site.private(phrase)
    uris = [path.as_uri(), f"passphrase://{other}"]
    uri = "shamir:2?" + "&".join(f"share={quote(each, safe='')}" for each in uris)
    failures = {
        "a key is gone": Failure(_gone(path), KmsError, "kms"),
        "a passphrase is another": Failure(_holds(other, _phrase()), KmsDenied, "kms_denied"),
    }
    return Driver("shamir", uri, (key, phrase), failures, every=2)


def _token(name: str) -> Callable[[Site], Driver]:
    def make(site: Site) -> Driver:
        token = site.any_token(name)
        pin = site.private(token.pin.encode())
        uri = token.uri(new_key()).partition("pin-source=")[0] + f"pin-source=file:{pin}"
        with closing(pkcs11.open_kms(uri)) as kms:
            kms.create_key()

        @contextmanager
        def wrong_pin() -> Iterator[None]:
            with _holds(pin, b"wrong-42")():
                yield
            # else a token that counts the wrong ones says at the second that the next is the last
            token.log_in()

        failures = {
            LOST: Failure(_between(token.lose, token.restore), KmsUnavailable, "kms_unavailable"),
            "the PIN is wrong": Failure(wrong_pin, KmsDenied, "kms_pin_wrong"),
            "the PIN is gone": Failure(_gone(pin), KmsDenied, "kms_denied"),
        }
        return Driver(name, uri, (token.pin.encode(),), failures)

    return make


def _vault(site: Site) -> Driver:
    folder = site.folder / "raft"
    folder.mkdir()
    bao = RaftBao(bao_program(), folder)
    site.stack.callback(bao.stop)
    bao.prepare()
    key, role = bao.make_key(), "auth/approle/role/c2"
    bao.ask("POST", "sys/auth/approle", {"type": "approle"})
    bao.ask("POST", role, {"token_policies": [bao.make_policy(POLICY.format(key=key))]})
    role_id = bao.ask("GET", f"{role}/role-id")["data"]["role_id"]
    secret_id: str = bao.ask("POST", f"{role}/secret-id", {})["data"]["secret_id"]
    login = site.private(secret_id.encode())

    def unseal() -> None:
        bao.unseal()
        bao.until_it_serves()

    def restart() -> None:
        bao.start()
        unseal()

    failures = {
        "it is sealed": Failure(_between(bao.seal, unseal), KmsUnavailable, "kms_sealed"),
        "it is stopped": Failure(_between(bao.stop, restart), KmsUnavailable, "kms_unavailable"),
        "the login is wrong": Failure(_holds(login, b"wrong-42"), KmsDenied, "kms_denied"),
    }
    uri = f"{bao.uri}/transit/keys/{key}?auth=approle&role-id={role_id}&secret-id-file={login}&timeout=20&{bao.options}"
    return Driver("vault", uri, (secret_id.encode(), bao.admin.encode()), failures)


def _awskms(site: Site) -> Driver:
    moto = site.stack.enter_context(moto_server(site.folder))
    nowhere = str(site.folder / "nowhere")
    files = dict.fromkeys(["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG"], nowhere)
    for name, value in (CREDENTIALS | files | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
        site.environment.setenv(name, value)
    client = boto3.session.Session("operator", "of the account", region_name=REGION).client(
        "kms", endpoint_url=f"http://127.0.0.1:{moto}"
    )
    client.create_alias(AliasName="alias/e4", TargetKeyId=client.create_key()["KeyMetadata"]["KeyId"])
    client.close()
    proxy = site.stack.enter_context(proxy_before(moto))

    def with_all(fault: Fault) -> Callable[[], AbstractContextManager[None]]:
        def begin() -> None:
            for operation in ("Encrypt", "Decrypt", "ReEncrypt"):
                proxy.always(operation, fault)

        return _between(begin, proxy.never)

    failures = {
        "it hangs up": Failure(with_all(drop), KmsUnavailable, "kms_unavailable"),
        "it does not allow this": Failure(with_all(refusal("AccessDeniedException")), KmsDenied, "kms_denied"),
        "the key is disabled": Failure(with_all(refusal("DisabledException")), KeyNotFound, "kms_key_disabled"),
    }
    secrets = (CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode(), CREDENTIALS["AWS_SESSION_TOKEN"].encode())
    return Driver("awskms", f"awskms:///alias/e4?region={REGION}&endpoint={proxy.url}&timeout=10", secrets, failures)


DRIVERS: dict[str, Callable[[Site], Driver]] = {
    "file": _file,
    "passphrase": _passphrase,
    "shamir": _shamir,
    **{name: _token(name) for name in TOKENS},
    "vault": _vault,
    "awskms": _awskms,
}


def _phrase() -> bytes:
    return base64.b64encode(os.urandom(18))


def _between(begin: Callable[[], object], end: Callable[[], object]) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def happens() -> Iterator[None]:
        begin()
        try:
            yield
        finally:
            end()

    return happens


def _gone(path: Path) -> Callable[[], AbstractContextManager[None]]:
    away = path.with_name(f"{path.name}.away")
    return _between(lambda: path.rename(away), lambda: away.rename(path))


def _holds(path: Path, other: bytes) -> Callable[[], AbstractContextManager[None]]:
    right = path.read_bytes()
    return _between(lambda: path.write_bytes(other), lambda: path.write_bytes(right))


def _readable(path: Path) -> Callable[[], AbstractContextManager[None]]:
    return _between(lambda: path.chmod(0o644), lambda: path.chmod(0o600))
