# SPDX-License-Identifier: Apache-2.0
"""A signature has one length: what stands together, signature and message, cannot be cut at another place and verify."""

from __future__ import annotations

import random
from functools import cache

import pytest

from e4backends.oqs import is_short
from e4core.errors import AuthenticationFailed
from e4core.plugins import load_suite
from e4core.suite import Suite
from tests.backends.oqs_here import MODULES, suite

MESSAGE = bytes(range(1, 97))
BETA, FIELD = 196, 20  # of ML-DSA-65


@cache
def part_of(name: str) -> Suite:
    return suite(name) if name in MODULES else load_suite(name)


@pytest.mark.parametrize("name", ["pk", "fips-pk", *MODULES])
def test_the_boundary_between_signature_and_message_cannot_be_moved(name: str) -> None:
    identity, part = part_of(name).device, part_of(name).signature
    assert part is not None
    private = identity.load(identity.generate())
    verifier, length = part.verifier(identity.public(private)[: part.public_len]), part.signature_len
    signed = part.signer(private).sign(MESSAGE) + MESSAGE
    verifier.verify(signed[length:], signed[:length])
    for cut in (0, 1, 32, 63, 64, length - 64, length - 1, length + 1, length + 32, len(signed) - 1, len(signed)):
        if cut != length:
            with pytest.raises(AuthenticationFailed) as caught:
                verifier.verify(signed[cut:], signed[:cut])
            assert caught.value.kind == "bad_signature"


@pytest.mark.parametrize("at", [0, 1, 2, 639, 1278, 1279])
def test_each_value_of_z_is_held_to_its_bound_and_no_further(at: int) -> None:
    """FIPS 204, algorithm 8, line 13, at every edge of the arithmetic, in every place of a pair of values."""
    draw = random.Random(at)
    values = [draw.randrange(BETA + 1, (1 << FIELD) - BETA) for _ in range(1280)]
    for edge in (0, BETA, 1 << FIELD - 1, (1 << FIELD - 1) - BETA, (1 << FIELD - 1) + BETA, (1 << FIELD) - BETA):
        for value in range(max(0, edge - 2), min(1 << FIELD, edge + 3)):
            values[at] = value
            packed = sum(one << FIELD * place for place, one in enumerate(values)).to_bytes(3200, "little")
            assert is_short(b"c" * 48 + packed + b"h" * 61) == (BETA < value < (1 << FIELD) - BETA), value
