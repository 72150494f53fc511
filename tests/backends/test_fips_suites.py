# SPDX-License-Identifier: Apache-2.0
"""The suites ``fips-sk`` and ``fips-pk`` (`format2.md` sections 1 and 3) against a computation of our own, and what they refuse."""

from __future__ import annotations

import hmac
import threading
from hashlib import sha3_256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from e4backends.fips import SUITE_PK, SUITE_SK
from e4backends.pyca import Gcm
from e4core.errors import AuthenticationFailed, InvalidInput, UnsupportedSuite
from e4core.keys import Secret
from e4core.suite import Channel, PrivateKey, Suite
from tests.backends.test_fips_p256 import public_of

INFO, HEADER = b"info", b"\2\1" + bytes(24)
SUITES = pytest.mark.parametrize("suite", [SUITE_SK, SUITE_PK], ids=lambda suite: suite.name)


def channels(suite: Suite) -> tuple[Channel, Channel]:
    """At a device, and at its C2."""
    device, c2 = suite.device.load(suite.device.generate()), suite.c2.load(suite.c2.generate())
    at_device = suite.control.at_device(device, suite.c2.public(c2))
    return at_device, suite.control.at_c2(c2, suite.device.public(device))


def hkdf(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with an empty salt, for 32 bytes."""
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\1", "sha256")


def lp(label: bytes) -> bytes:
    return bytes([len(label)]) + label


@SUITES
def test_sizes_and_names_are_those_of_the_specification(suite: Suite) -> None:
    public_key = suite is SUITE_PK
    assert (suite.name, suite.wire_name, suite.format, suite.approved) == (suite.name, suite.name, 2, True)
    assert (suite.aead.key_len, suite.aead.nonce_len, suite.aead.tag_len) == (32, 12, 16)
    assert (suite.device.private_len, suite.device.public_len) == ((64, 130) if public_key else (32, 32))
    assert (suite.c2.private_len, suite.c2.public_len) == ((64, 130) if public_key else (0, 0))
    assert suite.control.overhead == (65 + 16 + 64 if public_key else 16)
    assert suite.hash.digest(b"demoTopic") == sha3_256(b"demoTopic").digest()
    assert (suite.signature is None) == suite.is_symmetric == (not public_key)
    if suite.signature:
        assert (suite.signature.public_len, suite.signature.signature_len) == (65, 64)


@SUITES
def test_fresh_identities_differ_and_reach_each_other(suite: Suite) -> None:
    stored = suite.device.generate()
    assert isinstance(stored, Secret)
    assert stored != suite.device.generate()
    assert len(stored) == suite.device.private_len
    at_device, at_c2 = channels(suite)
    for sender, recipient in ((at_device, at_c2), (at_c2, at_device)):
        body = sender.seal(INFO, HEADER, b"content")
        assert len(body) == len(b"content") + suite.control.overhead
        assert recipient.open(INFO, HEADER, body) == b"content"
        for info, header in ((b"other", HEADER), (INFO, bytes(26)), (INFO + HEADER[:1], HEADER[1:])):
            with pytest.raises(AuthenticationFailed):
                recipient.open(info, header, body)


@SUITES
def test_a_container_is_refused_with_any_byte_changed_or_cut(suite: Suite) -> None:
    at_device, at_c2 = channels(suite)
    body = at_c2.seal(INFO, HEADER, b"command")
    for place in range(len(body)):
        changed = bytearray(body)
        changed[place] ^= 1
        with pytest.raises(AuthenticationFailed):
            at_device.open(INFO, HEADER, bytes(changed))
    for length in range(len(body)):
        with pytest.raises(AuthenticationFailed):
            at_device.open(INFO, HEADER, body[:length])
    with pytest.raises(AuthenticationFailed):
        at_device.open(INFO, HEADER, body + b"\0")


@SUITES
def test_a_container_goes_to_its_recipient_alone(suite: Suite) -> None:
    (_, at_c2), (other_device, other_c2) = channels(suite), channels(suite)
    body = at_c2.seal(INFO, HEADER, b"command")
    for other in (other_device, other_c2):
        with pytest.raises(AuthenticationFailed):
            other.open(INFO, HEADER, body)
    if suite is SUITE_PK:
        with pytest.raises(AuthenticationFailed):
            at_c2.open(INFO, HEADER, body)


@SUITES
def test_there_is_no_one_key_for_all_commands(suite: Suite) -> None:
    with pytest.raises(UnsupportedSuite):
        _ = channels(suite)[0].command_key


def test_a_container_of_fips_sk_is_what_the_specification_says() -> None:
    device_key = bytes(range(32))
    at_c2 = SUITE_SK.control.at_c2(SUITE_SK.c2.load(b""), device_key)
    key = AESGCM(hkdf(device_key, lp(b"E4.2 control key") + INFO + HEADER))
    assert at_c2.seal(INFO, HEADER, b"command") == key.encrypt(bytes(12), b"command", HEADER)


def test_a_container_of_fips_pk_is_what_the_specification_says() -> None:
    """Opened here with no part of ours; scalars are 1 to 4."""
    device, c2 = (Secret(b"".join(n.to_bytes(32, "big") for n in scalars)) for scalars in ((1, 2), (3, 4)))
    device_public = SUITE_PK.device.public(SUITE_PK.device.load(device))
    assert device_public == public_of(1) + public_of(2)
    body = SUITE_PK.control.at_c2(SUITE_PK.c2.load(c2), device_public).seal(INFO, HEADER, b"command")
    ciphertext, sealed, signature = body[:65], body[65:-64], body[-64:]
    context = INFO + sha3_256(public_of(3)).digest() + sha3_256(public_of(2)).digest() + HEADER + ciphertext
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    signer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_of(3))
    signed = lp(b"E4.2 control signature") + context + sealed
    signer.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ciphertext)
    z = ec.derive_private_key(2, ec.SECP256R1()).exchange(ec.ECDH(), ephemeral)
    key = AESGCM(hkdf(z, lp(b"E4.2 control key") + context))
    assert key.decrypt(bytes(12), sealed, HEADER) == b"command"


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_gcm_opens_nothing_that_was_changed(data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=32, max_size=32).filter(any))
    nonce = data.draw(st.binary(min_size=12, max_size=12))
    plaintext, associated_data = data.draw(st.binary(max_size=40)), data.draw(st.binary(min_size=1, max_size=40))
    parts = [raw, nonce, Gcm().key(raw).seal(nonce, plaintext, associated_data), associated_data]
    assert Gcm().key(parts[0]).open(*parts[1:]) == plaintext
    which = data.draw(st.integers(0, 3))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    if any(parts[0]):
        with pytest.raises(AuthenticationFailed):
            Gcm().key(parts[0]).open(*parts[1:])


@pytest.mark.parametrize("length", range(16))
def test_what_is_shorter_than_a_tag_is_not_authentic(length: int) -> None:
    with pytest.raises(AuthenticationFailed):
        Gcm().key(b"\1" * 32).open(bytes(12), bytes(length), b"")


@pytest.mark.parametrize("raw", [b"", bytes(32), b"\1" * 16, b"\1" * 31, b"\1" * 33], ids=len)
def test_gcm_refuses_keys_of_another_length_or_all_zero(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        Gcm().key(raw)
    assert caught.value.kind == "bad_key"


@SUITES
def test_private_keys_of_another_part_are_refused_with_an_error_of_ours(suite: Suite) -> None:
    foreign = PrivateKey(object())
    with pytest.raises(InvalidInput):
        suite.device.public(foreign)
    with pytest.raises(InvalidInput):
        suite.control.at_device(foreign, public_of(1) + public_of(2) if suite is SUITE_PK else b"")


def test_keys_may_be_used_from_several_threads() -> None:
    key, (at_device, at_c2) = Gcm().key(b"\1" * 32), channels(SUITE_PK)
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(50):
            nonce, text = bytes([number, turn]) + bytes(10), bytes([number]) * turn
            if key.open(nonce, key.seal(nonce, text, b"ad"), b"ad") != text:
                wrong.append((number, turn))
            if at_device.open(INFO, HEADER, at_c2.seal(INFO, HEADER, text)) != text:
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
