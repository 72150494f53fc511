# SPDX-License-Identifier: Apache-2.0
"""The primitives against the vectors of their standards, and AES-SIV against a second one built here from CMAC and CTR."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

from e4backends.pyca import Siv, hkdf_sha256
from e4backends.sha3 import Sha3_256
from e4backends.sodium import Ed25519Identity, Ed25519Signature, X25519Identity, x25519
from e4core.errors import AuthenticationFailed, E4Error, InvalidInput
from e4core.keys import Secret

ED25519 = {  # RFC 8032 section 7.1: secret, public, message, signature
    "test 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "test 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "test 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
}
X25519 = {  # RFC 7748 sections 5.2 and 6.1: scalar, u, result
    "scalar 1": (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    "shared": (
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    ),
}


def doubled(block: bytes) -> bytes:
    """dbl of RFC 5297 section 2.3."""
    value = int.from_bytes(block, "big") << 1
    return (value ^ 0x87 if value >> 128 else value).to_bytes(17, "big")[1:]


def cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def siv(key: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """RFC 5297 sections 2.4 and 2.6, with one string of associated data."""
    mac_key, ctr_key = key[: len(key) // 2], key[len(key) // 2 :]
    state = xor(doubled(cmac(mac_key, bytes(16))), cmac(mac_key, associated_data))
    if len(plaintext) >= 16:
        last = plaintext[:-16] + xor(plaintext[-16:], state)
    else:
        last = xor(doubled(state), (plaintext + b"\x80").ljust(16, b"\0"))
    tag = cmac(mac_key, last)
    counter = bytes(byte & (0x7F if place in (8, 12) else 0xFF) for place, byte in enumerate(tag))
    stream = Cipher(AES(ctr_key), CTR(counter)).encryptor()
    return tag + stream.update(plaintext) + stream.finalize()


def test_the_second_siv_gives_the_vector_of_the_standard() -> None:
    """RFC 5297 section A.1, whose key has 32 bytes and so fits no suite of ours."""
    key = bytes(range(0xFF, 0xEF, -1)) + bytes(range(0xF0, 0x100))
    sealed = siv(key, bytes.fromhex("112233445566778899aabbccddee"), bytes(range(0x10, 0x28)))
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=64, max_size=64).filter(any), st.binary(max_size=70), st.binary(max_size=40))
def test_both_sivs_agree_byte_for_byte(key: bytes, plaintext: bytes, associated_data: bytes) -> None:
    for aead, raw, full in ((Siv(), key, key), (Siv(doubled=True), key[:32], key[:32] * 2)):
        if any(raw):
            sealed = aead.key(raw).seal(b"", plaintext, associated_data)
            assert sealed == siv(full, plaintext, associated_data)
            assert aead.key(raw).open(b"", sealed, associated_data) == plaintext


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_an_aead_opens_nothing_that_was_changed(data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=32, max_size=32).filter(any))
    plaintext, associated_data = data.draw(st.binary(max_size=40)), data.draw(st.binary(min_size=1, max_size=40))
    sealed = Siv(doubled=True).key(raw).seal(b"", plaintext, associated_data)
    parts = [raw, sealed, associated_data]
    which = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    with pytest.raises(AuthenticationFailed):
        Siv(doubled=True).key(parts[0]).open(b"", parts[1], parts[2])


@pytest.mark.parametrize("length", range(17))
def test_what_is_no_longer_than_a_tag_is_not_authentic(length: int) -> None:
    with pytest.raises(AuthenticationFailed):
        Siv().key(b"\1" * 64).open(b"", bytes(length), b"")


@pytest.mark.parametrize("aead", [Siv(), Siv(doubled=True)], ids=["64", "32"])
def test_an_aead_refuses_keys_of_another_length_or_all_zero(aead: Siv) -> None:
    for raw in (b"", bytes(aead.key_len), b"\1" * (aead.key_len - 1), b"\1" * (aead.key_len + 1), b"\1" * 48):
        with pytest.raises(InvalidInput) as caught:
            aead.key(raw)
        assert caught.value.kind == "bad_key"


def test_hkdf_gives_the_vector_of_the_standard() -> None:
    """RFC 5869 section A.3: no salt, no info."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert hkdf_sha256(b"\x0b" * 22, b"", 42).hex() == expected


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
        (b"abc", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    ],
)
def test_sha3_is_the_one_of_the_standard_and_not_keccak(data: bytes, digest: str) -> None:
    assert Sha3_256().digest(data).hex() == digest


@pytest.mark.parametrize("name", ED25519)
def test_ed25519_gives_the_vectors_of_the_standard(name: str) -> None:
    seed, public, message, signature = map(bytes.fromhex, ED25519[name])
    private = Ed25519Identity().load(seed + public)
    assert Ed25519Identity().public(private) == public
    assert Ed25519Signature().signer(private).sign(message) == signature
    Ed25519Signature().verifier(public).verify(message, signature)


@pytest.mark.parametrize("name", ED25519)
def test_every_flipped_bit_of_a_signature_is_refused(name: str) -> None:
    _, public, message, signature = map(bytes.fromhex, ED25519[name])
    verifier = Ed25519Signature().verifier(public)
    for bit in range(512):
        flipped = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
        with pytest.raises(AuthenticationFailed):
            verifier.verify(message, flipped)
    with pytest.raises(AuthenticationFailed):
        verifier.verify(message + b"\0", signature)


@pytest.mark.parametrize("length", [0, 1, 63, 65])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    public, message, signature = map(bytes.fromhex, ED25519["test 3"][1:])
    with pytest.raises(AuthenticationFailed):
        Ed25519Signature().verifier(public).verify(message, (signature + b"\0")[:length])


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_no_verifier_is_made_of_a_key_of_another_length(length: int) -> None:
    """libsodium reads 32 bytes wherever it is pointed to."""
    with pytest.raises(E4Error):
        Ed25519Signature().verifier(b"\1" * length).verify(b"x", bytes(64))
    with pytest.raises(InvalidInput):
        Ed25519Signature().verifier(b"\1" * length)


@pytest.mark.parametrize("name", X25519)
def test_x25519_gives_the_vectors_of_the_standard(name: str) -> None:
    scalar, u, result = map(bytes.fromhex, X25519[name])
    assert x25519(scalar, u) == result


def test_the_c2s_public_key_is_that_of_the_standard() -> None:
    private = X25519Identity().load(bytes.fromhex(X25519["shared"][0]))
    expected = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert X25519Identity().public(private).hex() == expected


def test_x25519_gives_its_result_as_a_secret() -> None:
    assert isinstance(x25519(b"\1" * 32, b"\x09" + bytes(31)), Secret)
