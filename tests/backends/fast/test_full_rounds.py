# SPDX-License-Identifier: Apache-2.0
"""With all its rounds the code is AES-SIV and SHA3-256 as others compute them. The reduced build is the same code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import AuthenticationFailed

from .build import Full, SivKey, on_every_path

Maker = Callable[[bytes], SivKey]
WYCHEPROOF = json.loads((Path(__file__).parent / "wycheproof_aes_siv_512.json").read_text())
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


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=1000))
def test_whatever_is_hashed_is_hashed_as_in_hashlib(full: Full, data: bytes) -> None:
    assert full.sha3_256(data) == hashlib.sha3_256(data).digest()
