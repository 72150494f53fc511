# SPDX-License-Identifier: Apache-2.0
"""With all its rounds the code is AES-SIV and SHA3-256 as others compute them. The reduced build is the same code.

The vectors of RFC 5297 have keys for AES-128, which this code has not: the reference of these tests gives them (`test_reference`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import AuthenticationFailed

from .build import Full, SivKey, on_every_path
from .reference import siv_seal
from .test_reference import SIV

Maker = Callable[[bytes], SivKey]
HERE = Path(__file__).parent
WYCHEPROOF = json.loads((HERE / "wycheproof_aes_siv_512.json").read_text())
SHA3_MESSAGES = re.findall(
    r"Len = (\d+)\nMsg = (\w+)\nMD = (\w+)", (HERE / "SHA3_256ShortMsg.rsp").read_text()
)  # NIST CAVP, as in the distribution cryptography-vectors, unchanged; so is the next
SHA3_MONTE = re.findall(r"^(?:Seed|MD) = (\w+)", (HERE / "SHA3_256Monte.rsp").read_text(), re.M)
AD_LENS = [0, 1, 15, 16, 17, 26, 64, 100]
KEYS = st.binary(min_size=64, max_size=64)


def agree(make: Maker, length: int, ad_len: int) -> None:
    raw, plaintext, ad = os.urandom(64), os.urandom(length), os.urandom(ad_len)
    key, sealed = make(raw), AESSIV(raw).encrypt(plaintext, [ad])
    assert key.seal(b"", plaintext, ad) == sealed
    assert key.open(b"", sealed, ad) == plaintext


def test_the_full_build_has_the_rounds_of_the_standards(full: Full) -> None:
    assert (full.AES_ROUNDS, full.KECCAK_ROUNDS) == (14, 24)


@pytest.mark.parametrize("ad_len", AD_LENS)
def test_every_length_seals_and_opens_as_in_cryptography(full_key: Maker, ad_len: int) -> None:
    for length in range(301):
        agree(full_key, length, ad_len)


@pytest.mark.parametrize("length", [1024, 4095, 65536, 65537, (1 << 24) + 5])
@pytest.mark.parametrize("ad_len", [0, 26])
def test_long_messages_seal_and_open_as_in_cryptography(full_key: Maker, path: str, length: int, ad_len: int) -> None:
    agree(full_key, min(length, 1 << 20) if path == "bitsliced" else length, ad_len)


def test_long_associated_data_counts_as_in_cryptography(full_key: Maker) -> None:
    for ad_len in range(0, 5000, 37):
        agree(full_key, 64, ad_len)


@pytest.mark.parametrize("name", ["valid", "invalid"])
def test_the_vectors_of_wycheproof_hold(full_key: Maker, name: str) -> None:
    entries: list[dict[str, Any]] = [entry for group in WYCHEPROOF["testGroups"] for entry in group["tests"]]
    chosen = [entry for entry in entries if entry["result"] == name]
    assert len(chosen) == {"valid": 39, "invalid": 108}[name]
    for entry in chosen:
        raw, ad, plaintext, sealed = (bytes.fromhex(entry[field]) for field in ("key", "aad", "msg", "ct"))
        key = full_key(raw)
        if name == "valid":
            assert key.seal(b"", plaintext, ad) == sealed, entry["tcId"]
            assert key.open(b"", sealed, ad) == plaintext, entry["tcId"]
            continue
        with pytest.raises(AuthenticationFailed):
            key.open(b"", sealed, ad)


def test_the_vector_of_openssl_holds(full_key: Maker) -> None:
    vector = SIV["OpenSSL, aes-256-siv"]
    raw, ad, plaintext, sealed = map(bytes.fromhex, (vector.key, *vector.strings, vector.plaintext, vector.sealed))
    assert full_key(raw).seal(b"", plaintext, ad) == sealed
    assert full_key(raw).open(b"", sealed, ad) == plaintext


def test_the_reference_with_all_rounds_agrees(full_key: Maker) -> None:
    for length in [0, 1, 15, 16, 17, 31, 32, 33, 64, 129, 300]:
        raw, plaintext, ad = os.urandom(64), os.urandom(length), os.urandom(26)
        assert full_key(raw).seal(b"", plaintext, ad) == siv_seal(raw, [ad], plaintext, rounds=14)


@settings(max_examples=300, deadline=None)
@given(raw=KEYS, plaintext=st.binary(max_size=400), ad=st.binary(max_size=100))
def test_whatever_is_sealed_is_sealed_as_in_cryptography(full: Full, raw: bytes, plaintext: bytes, ad: bytes) -> None:
    sealed = AESSIV(raw).encrypt(plaintext, [ad])
    for key in on_every_path(full, raw):
        assert key.seal(b"", plaintext, ad) == sealed
        assert key.open(b"", sealed, ad) == plaintext


def test_every_length_hashes_as_in_hashlib(full: Full) -> None:
    for length in [*range(700), 4096, 32767, 32768, 1_000_003]:
        data = os.urandom(length)
        assert full.sha3_256(data) == hashlib.sha3_256(data).digest()


def test_the_messages_of_nist_hash_as_they_must(full: Full) -> None:
    assert len(SHA3_MESSAGES) == 137
    for bits, message, digest in SHA3_MESSAGES:
        assert full.sha3_256(bytes.fromhex(message)[: int(bits) // 8]).hex() == digest


def test_the_chain_of_nist_hashes_as_it_must(full: Full) -> None:
    assert len(SHA3_MONTE) == 101
    digest = bytes.fromhex(SHA3_MONTE[0])
    for expected in SHA3_MONTE[1:]:
        for _ in range(1000):
            digest = full.sha3_256(digest)
        assert digest.hex() == expected


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=1000))
def test_whatever_is_hashed_is_hashed_as_in_hashlib(full: Full, data: bytes) -> None:
    assert full.sha3_256(data) == hashlib.sha3_256(data).digest()
