# SPDX-License-Identifier: Apache-2.0
"""``aes-key-wrap-kwp``: none of the tokens here can do it, so it runs under the name that one of them has for the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pkcs11
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pkcs11 import KeyType, Mechanism

from e4kms.pkcs11.keys import Kek
from e4kms.pkcs11.ladder import RUNGS
from e4kms.records import canonical
from tests.kms.pkcs11.conftest import new_secret
from tests.kms.pkcs11.tokens import WRAP, Token, import_key

KWP = RUNGS["aes-key-wrap-kwp"]
UNABLE = {
    "softhsm": (False, pkcs11.MechanismInvalid),
    "opencryptoki": (False, pkcs11.MechanismInvalid),
    "nss": (True, pkcs11.PKCS11Error),
}
"""Whether the token lists the mechanism, and what it says when it is used."""
RFC_5649 = replace(KWP, mechanism=Mechanism.AES_KEY_WRAP_PAD)
"""What SoftHSM means by this name, and others do not."""

Use = Callable[[Kek, bytes], object]


@pytest.fixture
def with_kek(token: Token, key: str) -> Callable[[Use], None]:
    def use(job: Use) -> None:
        value = import_key(token, key, WRAP, id := os.urandom(4))

        def done(session: pkcs11.Session) -> None:
            kek = session.get_key(label=key.removeprefix("object="), key_type=KeyType.AES)
            job(Kek(id, KeyType.AES, session, kek), value)

        token.job(done)

    return use


def test_no_token_here_can_do_it(token: Token, with_kek: Callable[[Use], None]) -> None:
    is_listed, refusal = UNABLE[token.name]

    def refused(kek: Kek, _: bytes) -> None:
        assert KWP.fits(kek, kek.session.token.slot.get_mechanisms()) is is_listed
        with pytest.raises(refusal):
            KWP.probe(kek)

    with_kek(refused)


@pytest.mark.parametrize("token", ["softhsm"], indirect=True)
def test_it_carries_a_key_as_rfc_5649_says(with_kek: Callable[[Use], None]) -> None:
    secret, bound = new_secret(), b"bound"

    def carried(kek: Kek, value: bytes) -> None:
        blob = RFC_5649.seal(kek, RFC_5649, secret, bound)
        wrapped = blob[2 : 2 + int.from_bytes(blob[:2], "big")]
        inside = AESGCM(keywrap.aes_key_unwrap_with_padding(value, wrapped))
        assert inside.decrypt(bytes(12), blob[2 + len(wrapped) :], canonical(bound, wrapped)) == secret
        assert RFC_5649.open(kek, RFC_5649, blob, bound) == secret
        for changed, of in ((blob[:-1] + bytes([blob[-1] ^ 1]), bound), (blob, b"other"), (blob[:40], bound)):
            with pytest.raises(InvalidTag):
                RFC_5649.open(kek, RFC_5649, changed, of)

    with_kek(carried)
