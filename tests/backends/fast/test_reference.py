# SPDX-License-Identifier: Apache-2.0
"""The reference of these tests is the standard algorithm when it has all the rounds."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from .reference import Aes, cmac, sha3_256, siv_seal


class Vector(NamedTuple):
    """``sealed`` is tag | ciphertext; all but the rounds in hex."""

    rounds: int
    key: str
    strings: list[str]
    plaintext: str
    sealed: str


SIV = {
    "RFC 5297 A.1": Vector(
        10,
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        ["101112131415161718191a1b1c1d1e1f2021222324252627"],
        "112233445566778899aabbccddee",
        "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
    ),
    "RFC 5297 A.2": Vector(
        10,
        "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
        [
            "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
            "102030405060708090a0",
            "09f911029d74e35bd84156c5635688c0",
        ],
        "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
    ),
    "OpenSSL, aes-192-siv": Vector(
        12,
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfefffffefdfcfbfaf9f8f7f6f5f4f3f2f1f0",
        ["101112131415161718191a1b1c1d1e1f2021222324252627"],
        "112233445566778899aabbccddee",
        "89e869b93256785154f0963962fe0740eff356e42dec1f4febded36642f2",
    ),
    "OpenSSL, aes-256-siv": Vector(
        14,
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfefffffefdfcfbfaf9f8f7f6f5f4f3f2f1f0",
        ["101112131415161718191a1b1c1d1e1f2021222324252627"],
        "112233445566778899aabbccddee",
        "724dfb2eaf94dbb19b0ba3a299a0801ef3b05a55498ec2552690b89810e4",
    ),
}


@pytest.mark.parametrize("name", SIV)
def test_the_reference_gives_the_vectors_of_others(name: str) -> None:
    vector = SIV[name]
    key, plaintext, strings = bytes.fromhex(vector.key), bytes.fromhex(vector.plaintext), vector.strings
    assert siv_seal(key, [bytes.fromhex(each) for each in strings], plaintext, vector.rounds).hex() == vector.sealed


@pytest.mark.parametrize(("key_len", "rounds"), [(16, 10), (24, 12), (32, 14)])
def test_the_reference_with_all_rounds_is_aes(key_len: int, rounds: int) -> None:
    for _ in range(20):
        key, block = os.urandom(key_len), os.urandom(16)
        encryptor = Cipher(AES(key), ECB()).encryptor()
        assert Aes(key, rounds).encrypt(block) == encryptor.update(block)


def test_the_reference_of_cmac_gives_the_vector_of_sp_800_38b() -> None:
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")  # example D.3
    assert cmac(Aes(key, 14), b"").hex() == "028962f61b7bf89efc6b551f4667d983"


@pytest.mark.parametrize("length", [0, 1, 134, 135, 136, 137, 271, 272, 300])
def test_the_reference_with_all_rounds_is_sha3(length: int) -> None:
    data = os.urandom(length)
    assert sha3_256(data, 24) == hashlib.sha3_256(data).digest()
