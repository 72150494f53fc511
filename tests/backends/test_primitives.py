# SPDX-License-Identifier: Apache-2.0
"""The primitives against the vectors of their standards, and AES-SIV against the second one of the kit, of CMAC and CTR."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e4backends.pyca import Siv, hkdf_sha256
from e4backends.sha3 import Sha3_256
from e4backends.sodium import Ed25519Identity, Ed25519Signature, X25519Identity, x25519
from e4conformance.suites.algorithms import siv
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


def test_the_second_siv_gives_the_vector_of_the_standard() -> None:
    """RFC 5297 section A.1, whose key has 32 bytes and so fits no suite of ours."""
    key = bytes(range(0xFF, 0xEF, -1)) + bytes(range(0xF0, 0x100))
    sealed = siv(key, b"", bytes.fromhex("112233445566778899aabbccddee"), bytes(range(0x10, 0x28)))
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=64, max_size=64).filter(any), st.binary(max_size=70), st.binary(max_size=40))
def test_both_sivs_agree_byte_for_byte(key: bytes, plaintext: bytes, associated_data: bytes) -> None:
    for aead, raw, full in ((Siv(), key, key), (Siv(doubled=True), key[:32], key[:32] * 2)):
        if any(raw):
            sealed = aead.key(raw).seal(b"", plaintext, associated_data)
            assert sealed == siv(full, b"", plaintext, associated_data)
            assert aead.key(raw).open(b"", sealed, associated_data) == plaintext


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
