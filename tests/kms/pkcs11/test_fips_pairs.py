# SPDX-License-Identifier: Apache-2.0
"""`fips-pk` with the keys of either side in a token, which then signs and agrees: nobody at the other end can tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass

from e4backends.fips import SUITE_PK
from e4backends.pairs import TokenPairedIdentity
from e4c2.token_keys import TokenKeys
from e4core.errors import AuthenticationFailed, KeyNotFound, KmsError
from e4core.plugins import load_key
from e4core.suite import Identity, KeyHandle, PrivateKey
from tests.kms.pkcs11.tokens import Token

INFO, HEADER = b"info", b"\2\1" + bytes(24)
with_p256 = pytest.mark.parametrize("token", ["softhsm", "nss"], indirect=True)
Make = Callable[[], PrivateKey]


class Pairs:
    """A pair in the token for each use, opened as the C2 does: by the URI, through the plugin."""

    def __init__(self, token: Token) -> None:
        self.label = f"e4-c2-{os.urandom(6).hex()}-1"
        self.handles: dict[str, KeyHandle] = {
            use: load_key(token.uri(f"object={self.label}-{use}"), algorithm)
            for use, algorithm in taker(SUITE_PK.c2).handle_algorithms.items()
        }

    def create(self) -> None:
        for handle in self.handles.values():
            handle.create()


def taker(identity: Identity) -> TokenPairedIdentity:
    assert isinstance(identity, TokenPairedIdentity)
    return identity


@pytest.fixture
def pairs(token: Token) -> Iterator[Pairs]:
    pairs = Pairs(token)
    yield pairs
    for handle in pairs.handles.values():
        handle.close()


def in_token(pairs: Pairs, identity: Identity) -> PrivateKey:
    pairs.create()
    return taker(identity).in_token(pairs.handles)


def in_memory(identity: Identity) -> PrivateKey:
    return identity.load(identity.generate())


@with_p256
@pytest.mark.parametrize("which", ["device", "c2"])
def test_commands_and_reports_pass_with_the_keys_of_one_side_in_a_token(pairs: Pairs, which: str) -> None:
    make: dict[str, Make] = {
        side: partial(in_token, pairs, identity) if side == which else partial(in_memory, identity)
        for side, identity in (("device", SUITE_PK.device), ("c2", SUITE_PK.c2))
    }
    device, c2 = make["device"](), make["c2"]()
    at_device = SUITE_PK.control.at_device(device, SUITE_PK.c2.public(c2))
    at_c2 = SUITE_PK.control.at_c2(c2, SUITE_PK.device.public(device))
    assert at_device.open(INFO, HEADER, at_c2.seal(INFO, HEADER, b"command")) == b"command"
    assert at_c2.open(INFO, HEADER, at_device.seal(INFO, HEADER, b"report")) == b"report"
    changed = bytearray(at_device.seal(INFO, HEADER, b"report"))
    changed[3] ^= 1
    with pytest.raises(AuthenticationFailed):
        at_c2.open(INFO, HEADER, bytes(changed))


@with_p256
def test_a_device_signs_messages_in_its_token(pairs: Pairs) -> None:
    device = in_token(pairs, SUITE_PK.device)
    assert SUITE_PK.signature is not None
    public = SUITE_PK.device.public(device)
    SUITE_PK.device.check(public)
    signature = SUITE_PK.signature.signer(device).sign(b"message")
    assert len(signature) == SUITE_PK.signature.signature_len
    verifier = SUITE_PK.signature.verifier(public[: SUITE_PK.signature.public_len])
    verifier.verify(b"message", signature)
    with pytest.raises(AuthenticationFailed):
        verifier.verify(b"another", signature)


@with_p256
def test_what_is_no_ciphertext_is_not_authentic_before_it_reaches_the_token(pairs: Pairs) -> None:
    """Nothing was created in the token, so to ask it would be another error."""
    kem = taker(SUITE_PK.c2).kem.in_token(pairs.handles["kem"])
    for ciphertext in (b"", b"\0", bytes(65), b"\4" + b"\7" * 64):
        with pytest.raises(AuthenticationFailed):
            kem.decapsulate(ciphertext)
    with pytest.raises(KeyNotFound):
        kem.decapsulate(SUITE_PK.c2.public(in_memory(SUITE_PK.c2))[65:])


@with_p256
def test_each_pair_is_for_its_one_use(pairs: Pairs, token: Token) -> None:
    swapped = {"sign": pairs.handles["kem"], "kem": pairs.handles["sign"]}
    device = in_token(pairs, SUITE_PK.device)
    wrong = taker(SUITE_PK.device).in_token(swapped)
    assert SUITE_PK.signature is not None
    with pytest.raises(KmsError) as caught:
        SUITE_PK.signature.signer(wrong).sign(b"message")
    assert caught.value.kind == "kms_unsupported"
    with pytest.raises(KmsError) as caught:
        taker(SUITE_PK.c2).kem.in_token(swapped["kem"]).decapsulate(SUITE_PK.device.public(device)[65:])
    assert caught.value.kind == "kms_unsupported"

    def uses(session: pkcs11.Session) -> dict[str, set[Attribute]]:
        return {
            use: {
                may
                for may in (Attribute.SIGN, Attribute.DERIVE, Attribute.DECRYPT, Attribute.EXTRACTABLE)
                if session.get_key(label=f"{pairs.label}-{use}", object_class=ObjectClass.PRIVATE_KEY)[may]
            }
            for use in pairs.handles
        }

    assert token.job(uses) == {"sign": {Attribute.SIGN}, "kem": {Attribute.DERIVE}}


@with_p256
def test_the_pairs_of_a_c2_are_made_and_found_again(token: Token) -> None:
    uri = token.uri(f"object=e4-c2-{os.urandom(6).hex()}-VERSION").replace("VERSION", "{version}")
    keys = TokenKeys(uri, SUITE_PK)
    device = in_memory(SUITE_PK.device)
    first, second = keys.make(0), keys.make(0)
    assert (first.version, second.version) == (1, 2)
    keys.close()
    again = TokenKeys(uri, SUITE_PK)
    for pair in (first, second):
        c2 = again.open(pair.version)
        assert SUITE_PK.c2.public(c2) == pair.public
        at_device = SUITE_PK.control.at_device(device, pair.public)
        at_c2 = SUITE_PK.control.at_c2(c2, SUITE_PK.device.public(device))
        assert at_device.open(INFO, HEADER, at_c2.seal(INFO, HEADER, b"command")) == b"command"
        assert at_c2.open(INFO, HEADER, at_device.seal(INFO, HEADER, b"report")) == b"report"
    again.close()


@pytest.mark.parametrize("token", ["opencryptoki"], indirect=True)
def test_a_token_without_p256_says_so(pairs: Pairs) -> None:
    with pytest.raises(KmsError) as caught:
        pairs.create()
    assert caught.value.kind == "kms_unsupported"
