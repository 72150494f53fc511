# SPDX-License-Identifier: Apache-2.0
"""With 10 rounds the code gives what a second implementation, from the standards' words, gives with 10 rounds."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from .build import Full, Installed, Probe, SivKey, on_every_path
from .reference import sha3_256, siv_seal

Maker = Callable[[bytes], SivKey]
KEY = bytes(range(64))
FROZEN = {  # plaintext, associated data: tag | ciphertext under KEY, made by the reference
    (b"", b""): "1fb54c7446b41c470724171724af5b26",
    (b"temperature 21.5", b"sensors/1"): "38ffdf9243f4fddbd7c2cbbcd51598e4df923528f89ada07cffb9e870bf891f7",
    (bytes(range(41)), bytes(26)): (
        "d7a9877c1d6481fbc2c1107b05b378bb32cf6d746935d217604b9f00442ceb5c"
        "6ee1e058945a67b60ae14a39e37fc74c95440222549fc688ba"
    ),
}
FROZEN_HASHES = {  # data: digest, made by the reference
    b"": "87f83848666585913d8992e5012572f4717c6222a339ecb4523087e316a3f21f",
    b"abc": "25eb5c06cb696576dad214f013b8ff6e0e641a613c9fed072bc176900209bf27",
    bytes(200): "f893f4c2a3efd425e7c82fb69bb039f09ba19dcfa79bbb3427b629716014b206",
}


def test_the_reduced_builds_have_ten_rounds(fast: Installed, probe: Probe) -> None:
    assert {(build.AES_ROUNDS, build.KECCAK_ROUNDS) for build in (fast, probe)} == {(10, 10)}


@pytest.mark.parametrize(("plaintext", "ad"), FROZEN)
def test_the_reduced_cipher_never_changes(fast: Installed, probe_key: Maker, plaintext: bytes, ad: bytes) -> None:
    expected = bytes.fromhex(FROZEN[plaintext, ad])
    assert fast.SivKey(KEY).seal(b"", plaintext, ad) == expected
    assert probe_key(KEY).seal(b"", plaintext, ad) == expected
    assert siv_seal(KEY, [ad], plaintext, rounds=10) == expected


@pytest.mark.parametrize("data", FROZEN_HASHES)
def test_the_reduced_hash_never_changes(fast: Installed, probe: Probe, data: bytes) -> None:
    expected = bytes.fromhex(FROZEN_HASHES[data])
    assert fast.sha3_256_r10(data) == probe.sha3_256_r10(data) == sha3_256(data, 10) == expected


@pytest.mark.parametrize("ad_len", [0, 16, 26])
def test_the_reduced_cipher_agrees_with_the_reference(fast: Installed, probe_key: Maker, ad_len: int) -> None:
    for length in [*range(70), 127, 128, 129, 255, 256, 257, 273, 300]:
        raw, plaintext, ad = os.urandom(64), os.urandom(length), os.urandom(ad_len)
        sealed = siv_seal(raw, [ad], plaintext, rounds=10)
        for key in (probe_key(raw), fast.SivKey(raw)):
            assert key.seal(b"", plaintext, ad) == sealed
            assert key.open(b"", sealed, ad) == plaintext


def test_the_reduced_hash_agrees_with_the_reference(fast: Installed) -> None:
    for length in [*range(0, 300, 7), 134, 135, 136, 137, 271, 272, 273]:
        data = os.urandom(length)
        assert fast.sha3_256_r10(data) == sha3_256(data, 10)


def test_fewer_rounds_are_another_cipher_and_another_hash(fast: Installed, full: Full) -> None:
    assert fast.SivKey(KEY).seal(b"", b"payload", b"") != AESSIV(KEY).encrypt(b"payload", [b""])
    assert fast.sha3_256_r10(b"payload") != full.sha3_256(b"payload")


@settings(max_examples=300, deadline=None)
@given(raw=st.binary(min_size=64, max_size=64), plaintext=st.binary(max_size=600), ad=st.binary(max_size=100))
def test_all_paths_agree(probe: Probe, raw: bytes, plaintext: bytes, ad: bytes) -> None:
    keys = on_every_path(probe, raw)
    sealed = keys[0].seal(b"", plaintext, ad)
    assert {key.seal(b"", plaintext, ad) for key in keys} == {sealed}
    assert {key.open(b"", sealed, ad) for key in keys} == {plaintext}


def test_all_paths_agree_on_long_messages(fast: Installed, probe_key: Maker) -> None:
    for length in (1024, 65536, 65551):
        plaintext = os.urandom(length)
        assert probe_key(KEY).seal(b"", plaintext, b"ad") == fast.SivKey(KEY).seal(b"", plaintext, b"ad")
