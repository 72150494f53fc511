# SPDX-License-Identifier: Apache-2.0
"""Each test that takes ``token`` runs on SoftHSM, openCryptoki and NSS; with keys of its own, for the tokens last a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pkcs11
import pytest
from pkcs11 import Attribute

from e4core.keys import Secret
from e4kms.pkcs11 import Pkcs11Kms, open_kms
from tests.kms.conftest import AnyToken
from tests.kms.pkcs11.tokens import TOKENS, Token

CONTEXT = b"database 1, purpose records, version 3"

OpenKms = Callable[..., Pkcs11Kms]

_LASTING = "lasting-"


@pytest.fixture(scope="session", params=list(TOKENS))
def token(request: pytest.FixtureRequest, any_token: AnyToken) -> Token:
    return any_token(request.param)


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing is left of the keys of a test: SoftHSM reads every object that it holds for each key that is looked for."""
    token: Token | None = request.getfixturevalue("token") if "token" in request.fixturenames else None
    yield
    if token and token.name == "softhsm":
        token.job(_destroy)


def _destroy(session: pkcs11.Session) -> None:
    for each in list(session.get_objects()):
        if not each[Attribute.LABEL].startswith(_LASTING):
            each.destroy()


def new_secret() -> Secret:
    return Secret(os.urandom(32))


def new_key() -> str:
    """What names a key that nobody else uses; it is gone after the test."""
    return f"object=kek-{os.urandom(8).hex()}"


def lasting_key() -> str:
    """As `new_key`, for more than one test."""
    return f"object={_LASTING}{os.urandom(8).hex()}"


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def open_at(token: Token) -> Iterator[OpenKms]:
    """Opens a KMS: ``open_at(key)``, with all that `Token.uri` takes."""
    opened: list[Pkcs11Kms] = []

    def open_at(*args: str, **kwargs: str) -> Pkcs11Kms:
        opened.append(open_kms(token.uri(*args, **kwargs)))
        return opened[-1]

    yield open_at
    for kms in opened:
        kms.close()


@pytest.fixture
def kms(open_at: OpenKms, key: str) -> Pkcs11Kms:
    """With a key."""
    kms = open_at(key)
    kms.create_key()
    return kms


@pytest.fixture(scope="session")
def rsa_key(token: Token) -> str:
    """An RSA key, which takes a token seconds to make."""
    key = f"{lasting_key()};type=private"
    kms = open_kms(token.uri(key, options="&timeout=60"))
    kms.create_key()
    kms.close()
    return key


@pytest.fixture
def rsa_kms(open_at: OpenKms, rsa_key: str) -> Pkcs11Kms:
    return open_at(rsa_key)


@pytest.fixture(params=["kms", "rsa_kms"], ids=["secret-key", "private"])
def any_kms(request: pytest.FixtureRequest, open_at: OpenKms) -> Pkcs11Kms:
    """With an AES key, and with an RSA key."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]
