# SPDX-License-Identifier: Apache-2.0
"""AES-SIV of the suites ``sk``, ``pk`` and ``pq*`` against vectors of others; that of ``fast`` has them in a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e4backends.pyca import Siv
from e4core.errors import AuthenticationFailed

WYCHEPROOF = json.loads((Path(__file__).parent / "fast" / "wycheproof_aes_siv_512.json").read_text())
ENTRIES: list[dict[str, Any]] = [entry for group in WYCHEPROOF["testGroups"] for entry in group["tests"]]
OPENSSL = {  # aes-256-siv in test/recipes/30-test_evp_data/evpciph_aes_siv.txt; the keys of RFC 5297 are for AES-128
    "key": "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
    "f0f1f2f3f4f5f6f7f8f9fafbfcfdfefffffefdfcfbfaf9f8f7f6f5f4f3f2f1f0",
    "aad": "101112131415161718191a1b1c1d1e1f2021222324252627",
    "msg": "112233445566778899aabbccddee",
    "ct": "724dfb2eaf94dbb19b0ba3a299a0801ef3b05a55498ec2552690b89810e4",
}


def fields(entry: dict[str, Any]) -> tuple[bytes, bytes, bytes, bytes]:
    key, ad, plaintext, sealed = (bytes.fromhex(entry[field]) for field in ("key", "aad", "msg", "ct"))
    return key, ad, plaintext, sealed


def test_the_valid_vectors_hold() -> None:
    valid = [entry for entry in ENTRIES if entry["result"] == "valid"]
    assert len(valid) == 39
    for entry in (*valid, OPENSSL):
        raw, ad, plaintext, sealed = fields(entry)
        key = Siv().key(raw)
        assert key.seal(b"", plaintext, ad) == sealed
        assert key.open(b"", sealed, ad) == plaintext


def test_the_invalid_vectors_are_refused() -> None:
    invalid = [entry for entry in ENTRIES if entry["result"] == "invalid"]
    assert len(invalid) == 108
    for entry in invalid:
        raw, ad, _, sealed = fields(entry)
        with pytest.raises(AuthenticationFailed):
            Siv().key(raw).open(b"", sealed, ad)
