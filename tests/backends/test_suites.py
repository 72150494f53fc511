# SPDX-License-Identifier: Apache-2.0
"""The suites ``sk`` and ``pk`` against a computation of our own with `cryptography` (`wire.md` sections 2 to 6)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha3_256, sha512

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from e4backends import pk, sk
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret
from e4core.suite import Suite

P = 2**255 - 19
seeds = st.binary(min_size=32, max_size=32).filter(any)
SUITES = pytest.mark.parametrize("suite", [sk.SUITE, pk.SUITE], ids=["sk", "pk"])
IDENTITIES = pytest.mark.parametrize(
    "identity",
    [sk.SUITE.device, pk.SUITE.device, pk.SUITE.c2],
    ids=["device key", "Ed25519", "X25519"],
)
PK_LAW = settings(max_examples=60, deadline=None)


def ed25519(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def x25519_public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def montgomery(public: bytes) -> bytes:
    """u = (1 + y) / (1 - y)."""
    y = int.from_bytes(public, "little") & (1 << 255) - 1
    return ((1 + y) * pow(1 - y, -1, P) % P).to_bytes(32, "little")


def exchange(private: bytes, public: bytes) -> bytes:
    agreed = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    return sha3_256(agreed).digest()


def command_under(key: bytes) -> bytes:
    return AESSIV(key + key).encrypt(b"\1", [b"time"])


@SUITES
def test_sizes_and_names_are_those_of_the_protocol(suite: Suite) -> None:
    assert suite.name == suite.wire_name
    assert suite.format == 1
    assert (suite.aead.key_len, suite.aead.nonce_len, suite.aead.tag_len) == (32, 0, 16)
    assert len(suite.device.generate()) == suite.device.private_len == (32 if suite.is_symmetric else 64)
    assert len(suite.c2.generate()) == suite.c2.private_len
    assert suite.derive_id("demoTopic") == sha3_256(b"demoTopic").digest()[:16]
    assert (suite.signature is None) == suite.is_symmetric


@SUITES
def test_fresh_identities_load_differ_and_reach_each_other(suite: Suite) -> None:
    stored, c2_stored = suite.device.generate(), suite.c2.generate()
    assert stored != suite.device.generate()
    assert isinstance(stored, Secret)
    device, c2 = suite.device.load(stored), suite.c2.load(c2_stored)
    public, c2_public = suite.device.public(device), suite.c2.public(c2)
    suite.device.check(public)
    suite.c2.check(c2_public)
    assert (len(public), len(c2_public)) == (suite.device.public_len, suite.c2.public_len)
    at_device, at_c2 = suite.control.at_device(device, c2_public), suite.control.at_c2(c2, public)
    sealed = at_c2.command_key.seal(b"", b"command", b"time")
    assert at_device.command_key.open(b"", sealed, b"time") == b"command"
    body = at_device.seal(b"info", b"header", b"report")
    assert at_c2.open(b"info", b"header", body) == b"report"
    for info, header in ((b"other", b"header"), (b"info", b"other"), (b"inf", b"oheader")):
        with pytest.raises(AuthenticationFailed):
            at_c2.open(info, header, body)


@PK_LAW
@given(seeds)
def test_sk_commands_are_under_the_device_key(key: bytes) -> None:
    c2 = sk.SUITE.c2.load(b"")
    for channel in (
        sk.SUITE.control.at_device(sk.SUITE.device.load(key), b""),
        sk.SUITE.control.at_c2(c2, key),
    ):
        assert channel.command_key.seal(b"", b"\1", b"time") == command_under(key)


@PK_LAW
@given(seeds, seeds)
def test_pk_commands_are_under_the_hash_of_the_agreed_point(seed: bytes, c2_private: bytes) -> None:
    public = ed25519(seed)
    converted = sha512(seed).digest()[:32]
    expected = exchange(c2_private, montgomery(public))
    assert exchange(converted, x25519_public(c2_private)) == expected
    device, c2 = pk.SUITE.device.load(seed + public), pk.SUITE.c2.load(c2_private)
    assert pk.SUITE.c2.public(c2) == x25519_public(c2_private)
    for channel in (
        pk.SUITE.control.at_device(device, x25519_public(c2_private)),
        pk.SUITE.control.at_c2(c2, public),
    ):
        assert channel.command_key.seal(b"", b"\1", b"time") == command_under(expected)


@PK_LAW
@given(seeds, st.binary(max_size=100))
def test_pk_signatures_are_plain_ed25519(seed: bytes, message: bytes) -> None:
    assert pk.SUITE.signature is not None
    signature = pk.SUITE.signature.signer(pk.SUITE.device.load(seed + ed25519(seed))).sign(message)
    assert len(signature) == pk.SUITE.signature.signature_len
    assert signature == Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    pk.SUITE.signature.verifier(ed25519(seed)).verify(message, signature)


@settings(max_examples=200, deadline=None)
@given(seeds, st.binary(max_size=40), st.integers(0, 511))
def test_both_libraries_refuse_the_same_signatures(seed: bytes, message: bytes, bit: int) -> None:
    assert pk.SUITE.signature is not None
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    flipped = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(ed25519(seed)).verify(flipped, message)
    with pytest.raises(AuthenticationFailed) as caught:
        pk.SUITE.signature.verifier(ed25519(seed)).verify(message, flipped)
    assert caught.value.kind == "bad_signature"


def test_a_private_key_with_the_public_half_of_another_is_refused() -> None:
    for stored in (b"\7" * 32 + ed25519(b"\x08" * 32), bytes(32) + ed25519(b"\7" * 32), b"\7" * 32 + bytes(32)):
        with pytest.raises(InvalidInput) as caught:
            pk.SUITE.device.load(stored)
        assert caught.value.kind == "bad_key"


@pytest.mark.parametrize("name", ["new SUITE", "same SUITE"])
def test_a_part_can_be_replaced_and_the_rest_stays(name: str) -> None:
    changed = replace(sk.SUITE, name=name)
    assert (changed.name, changed.wire_name, changed.aead) == (name, "sk", sk.SUITE.aead)
    assert sk.SUITE.name == "sk"
