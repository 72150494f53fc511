# SPDX-License-Identifier: Apache-2.0
"""SLH-DSA-SHAKE-256f against vectors of NIST; the file beside this one names its source."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from e4core.errors import AuthenticationFailed
from tests.backends.oqs_here import Given, randomness
from tests.backends.pq_fleet import flipped, parts_of

VECTORS = json.loads((Path(__file__).parent / "acvp_slh_dsa_shake_256f.json").read_text())
unhex = bytes.fromhex


def test_slh_dsa_makes_the_keys_of_acvp() -> None:
    scheme, _ = parts_of("pq-slh")
    tests = VECTORS["keyGen"]
    assert len(tests) == 10
    for test in tests:
        with randomness(Given(unhex(test["skSeed"] + test["skPrf"] + test["pkSeed"]))):
            stored = scheme.generate()
        assert stored == unhex(test["sk"])
        assert scheme.key(stored).public == unhex(test["pk"])


def test_slh_dsa_makes_the_signature_of_acvp_and_verifies_it() -> None:
    """Of ACVP's sigVer, some MB of hex, only the reasons are here: a change in the message, R, FORS, the hypertree, the length."""
    scheme, _ = parts_of("pq-slh")
    for test in VECTORS["sigGen"]:
        key, message = scheme.key(unhex(test["sk"])), unhex(test["message"])
        with randomness(Given(key.public[:32])):  # what FIPS 205 calls deterministic
            signature = key.sign(message)
        assert sha256(signature).hexdigest() == test["signature_sha256"]
        verifier = scheme.verifier(unhex(test["pk"]))
        verifier.verify(message, signature)
        changes = [flipped(signature, 8 * byte) for byte in (0, 32, 11_231, 11_232, 49_855)]
        for changed in (*changes, signature[:-1], signature + b"\0"):
            with pytest.raises(AuthenticationFailed):
                verifier.verify(message, changed)
        with pytest.raises(AuthenticationFailed):
            verifier.verify(flipped(message, 0), signature)
