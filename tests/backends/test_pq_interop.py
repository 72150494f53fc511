# SPDX-License-Identifier: Apache-2.0
"""``pq`` and ``pq-pyca`` are one suite for whoever listens; in ``pq-hybrid`` each half counts."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha3_256, shake_256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from e4backends import liboqs, oqs
from e4backends.hybrid import Both, Ed25519
from e4backends.pairs import SignatureKey
from e4backends.pq_pyca import MlDsa65, MlKem768
from e4backends.xwing import XWing, combine
from e4core.client2 import Client2
from e4core.errors import AuthenticationFailed, InvalidInput, Replayed
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey
from e4core.report import fingerprint
from e4core.state2 import Epoch, Peer, new_state
from e4core.suite import Suite, Verifier
from tests.backends.oqs_here import identity, need_liboqs, suite
from tests.backends.pq_fleet import flipped

WAYS = pytest.mark.parametrize(("sender", "receiver"), [("pq", "pq-pyca"), ("pq-pyca", "pq")])
stored = st.binary(min_size=96, max_size=96).filter(lambda raw: any(raw[:32]) and any(raw[32:]))
KEM_768, PEER = oqs.ml_kem_768, MlKem768().key(b"\7" * 64).public
LOW_ORDER = [bytes(32), b"\1" + bytes(31), (2**255 - 20).to_bytes(32, "little")]


@WAYS
@settings(max_examples=25, deadline=None)
@given(one=stored, other=stored, plaintext=st.binary(max_size=200))
def test_both_libraries_make_the_same_keys_and_open_what_the_other_seals(
    sender: str, receiver: str, one: bytes, other: bytes, plaintext: bytes
) -> None:
    ours, theirs = suite(sender), suite(receiver)
    assert ours.signature is not None
    assert theirs.signature is not None
    device, c2 = ours.device.load(one), theirs.c2.load(other)
    public, c2_public = ours.device.public(device), theirs.c2.public(c2)
    assert theirs.device.public(theirs.device.load(one)) == public
    assert ours.c2.public(ours.c2.load(other)) == c2_public
    at_device, at_c2 = ours.control.at_device(device, c2_public), theirs.control.at_c2(c2, public)
    assert at_c2.open(b"info", b"header", at_device.seal(b"info", b"header", plaintext)) == plaintext
    assert at_device.open(b"info", b"header", at_c2.seal(b"info", b"header", plaintext)) == plaintext
    theirs.signature.verifier(public[:1952]).verify(plaintext, ours.signature.signer(device).sign(plaintext))


def client_of(part: Suite, device: bytes, peer: bytes, key: TopicKey) -> Client2:
    """A member of the topic, who takes the first 16 bytes of public keys for ids."""
    public, peer_public = (part.device.public(part.device.load(raw)) for raw in (device, peer))
    state = new_state(part, ClientId(public[:16]), Secret(device), part.c2.public(part.c2.load(b"\7" * 96)))
    topic = FullTopicHash(part.hash.digest(b"topic"))
    held = {topic: (Epoch(1000, key, fingerprint(part, key), 1),)}
    peers = {ClientId(peer_public[:16]): Peer(peer_public[:1952])}
    return Client2(part, replace(state, topics=held, peers=peers), lambda _state: None)


@WAYS
def test_clients_of_both_libraries_read_the_messages_of_each_other(sender: str, receiver: str) -> None:
    one, other, key, now = b"\1" * 96, b"\2" * 96, TopicKey(os.urandom(32)), 1_800_000_000.0
    ours, theirs = client_of(suite(sender), one, other, key), client_of(suite(receiver), other, one, key)
    for payload in (b"", b"21.5", os.urandom(3000)):
        data = ours.protect(payload, "topic", now)
        read = theirs.unprotect(data, "topic", now)
        assert (read.payload, read.authenticated) == (payload, True)
        with pytest.raises(Replayed):
            theirs.unprotect(data, "topic", now)
        with pytest.raises(AuthenticationFailed):
            theirs.unprotect(flipped(ours.protect(payload, "topic", now), -1), "topic", now)


@WAYS
def test_both_libraries_have_one_wire_name_and_one_layout(sender: str, receiver: str) -> None:
    one, other = suite(sender), suite(receiver)
    assert one.wire_name == other.wire_name == "pq"
    assert one.control.overhead == other.control.overhead
    assert one.device.private_len == other.device.private_len


class Interrupted(liboqs.NativeSignature):
    """Another thread asks liboqs for random bytes while this one expands a seed."""

    def generate(self) -> tuple[bytes, Secret]:
        with ThreadPoolExecutor(1) as other:
            ciphertexts = other.submit(lambda: [KEM_768().encapsulate(PEER)[0] for _ in range(5)]).result()
        assert len(set(ciphertexts)) == 5
        return super().generate()


def test_who_expands_a_seed_does_not_make_the_random_numbers_of_others_known() -> None:
    need_liboqs()
    native = liboqs.signature("ML-DSA-65", 1952, 4032, 3309)
    interrupted = Interrupted(native.handle, native.public_len, native.private_len, native.signature_len)
    seed = b"\7" * 32
    public, _ = interrupted.expand(seed)
    assert public == MlDsa65().key(seed).public
    assert native.generate() != native.generate()


def test_many_threads_expand_seeds_at_once() -> None:
    need_liboqs()
    seeds = [bytes([number]) * 32 for number in range(1, 41)]
    with ThreadPoolExecutor(4) as threads:
        publics = list(threads.map(lambda seed: oqs.ml_dsa_65().key(seed).public, seeds))
    assert publics == [MlDsa65().key(seed).public for seed in seeds]


def test_each_half_of_a_hybrid_signature_must_verify() -> None:
    part = suite("pq-hybrid").signature
    assert part is not None
    private, public = identity("pq-hybrid", 0)
    verifier, signer = part.verifier(public[: part.public_len]), part.signer(private)
    one, other = signer.sign(b"one"), signer.sign(b"other")
    verifier.verify(b"one", one)
    for changed in (
        other[:64] + one[64:],
        one[:64] + other[64:],
        bytes(64) + one[64:],
        one[:64] + bytes(3309),
        one[:64],
        one[64:],
        one[64:] + one[:64],
        one + one,
    ):
        with pytest.raises(AuthenticationFailed) as caught:
            verifier.verify(b"one", changed)
        assert caught.value.kind == "bad_signature"


def test_the_halves_of_a_hybrid_signature_are_plain_ed25519_and_ml_dsa() -> None:
    part = suite("pq-hybrid").signature
    assert part is not None
    private, public = identity("pq-hybrid", 0)
    signature = part.signer(private).sign(b"message")
    Ed25519PublicKey.from_public_bytes(public[:32]).verify(signature[:64], b"message")
    MLDSA65PublicKey.from_public_bytes(public[32:1984]).verify(signature[64:], b"message")


def test_a_hybrid_public_key_with_a_weak_half_is_refused() -> None:
    part, (_, public) = suite("pq-hybrid").device, identity("pq-hybrid", 0)
    for changed in (
        b"\1" + bytes(31) + public[32:],
        public[:32] + bytes(1952) + public[1984:],
        public[:1984] + b"\xff" * 3 + public[1987:],
    ):
        with pytest.raises(InvalidInput) as caught:
            part.check(changed)
        assert caught.value.kind == "bad_key"


@dataclass
class Watched:
    """A scheme that knows one signature, and writes down what it was asked."""

    good: bytes
    asked: list[bytes] = field(default_factory=list)
    private_len = public_len = signature_len = 1

    def generate(self) -> bytes:
        return b"\1"

    def key(self, _stored: bytes, /) -> SignatureKey:
        return Ed25519().key(b"\1" * 32)

    def verifier(self, _public: bytes, /) -> Verifier:
        return self

    def verify(self, _message: bytes, signature: bytes, /) -> None:
        self.asked.append(signature)
        if signature != self.good:
            raise AuthenticationFailed


@pytest.mark.parametrize("signature", [b"ab", b"ax", b"xb", b"xx", b"a", b"abc"])
def test_both_signatures_are_computed_whatever_the_first_says(signature: bytes) -> None:
    first, second = Watched(b"a"), Watched(b"b")
    verifier = Both(first, second).verifier(b"\1\1")
    if signature == b"ab":
        verifier.verify(b"", signature)
    else:
        with pytest.raises(AuthenticationFailed):
            verifier.verify(b"", signature)
    assert (first.asked, second.asked) == ([signature[:1]], [signature[1:]])


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32).filter(any))
def test_x_wing_is_that_of_the_draft_computed_by_another_library(seed: bytes) -> None:
    """Sections 5.2 to 5.5, with X25519 of OpenSSL in place of libsodium's."""
    expanded = shake_256(seed).digest(96)
    ml_kem, x = MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])
    x_public = x.public_key().public_bytes_raw()
    key = XWing().key(seed)
    assert key.public == ml_kem.public_key().public_bytes_raw() + x_public
    ciphertext, secret = XWing().encapsulate(key.public)
    shared = x.exchange(X25519PublicKey.from_public_bytes(ciphertext[1088:]))
    label = rb"\.//^" + b"\\"
    expected = sha3_256(ml_kem.decapsulate(ciphertext[:1088]) + shared + ciphertext[1088:] + x_public + label).digest()
    assert secret == key.decapsulate(ciphertext) == expected


def test_either_half_of_x_wing_changes_the_secret() -> None:
    ml_kem, x, x_ciphertext, x_public, other = (os.urandom(32) for _ in range(5))
    secrets = {
        combine(ml_kem, x, x_ciphertext, x_public),
        combine(other, x, x_ciphertext, x_public),
        combine(ml_kem, other, x_ciphertext, x_public),
        combine(ml_kem, x, other, x_public),
        combine(ml_kem, x, x_ciphertext, other),
    }
    assert len(secrets) == 5


@pytest.mark.parametrize("point", LOW_ORDER)
def test_an_all_zero_result_of_x25519_is_hashed_like_any_other_as_in_the_draft(point: bytes) -> None:
    seed = b"\7" * 32
    key, ml_kem = XWing().key(seed), MLKEM768PrivateKey.from_seed_bytes(shake_256(seed).digest(96)[:64])
    ciphertext, _ = XWing().encapsulate(key.public)
    expected = combine(ml_kem.decapsulate(ciphertext[:1088]), bytes(32), point, key.public[1184:])
    assert key.decapsulate(ciphertext[:1088] + point) == expected
    weak = key.public[:1184] + point
    XWing().check(weak)
    assert len(XWing().encapsulate(weak)[0]) == 1120
