# SPDX-License-Identifier: Apache-2.0
"""P-256: what is no key, no ciphertext and no signature, and the equation of those that are."""

from __future__ import annotations

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from e4backends.fips import SUITE_PK
from e4backends.p256 import ORDER, Ecdh, Ecdsa, concatenated
from e4core.errors import AuthenticationFailed, InvalidInput

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def public_of(scalar: int) -> bytes:
    private = ec.derive_private_key(scalar, ec.SECP256R1())
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def bad_points() -> dict[str, bytes]:
    """What must not pass for an uncompressed point of the curve."""
    good = public_of(7)
    x, y = good[1:33], good[33:]
    beyond = next(n for n in range(100) if pow(pow(n, 3, P) - 3 * n + B, (P - 1) // 2, P) == 1)
    root = pow(pow(beyond, 3, P) - 3 * beyond + B, (P + 1) // 4, P)
    assert (root * root - (beyond**3 - 3 * beyond + B)) % P == 0
    return {
        "nothing": b"",
        "infinity": b"\0",
        "infinity, filled up": bytes(65),
        "compressed": bytes([2 + y[-1] % 2]) + x,
        "compressed, filled up": bytes([2 + y[-1] % 2]) + x + bytes(32),
        "hybrid": bytes([6 + y[-1] % 2]) + x + y,
        "without its first byte": x + y,
        "one byte short": good[:-1],
        "one byte more": good + b"\0",
        "off the curve": good[:-1] + bytes([good[-1] ^ 1]),
        "zeros": b"\4" + bytes(64),
        "x not below p": b"\4" + (beyond + P).to_bytes(32, "big") + root.to_bytes(32, "big"),
        "y not below p": b"\4" + x + b"\xff" * 32,
        "x and y swapped": b"\4" + y + x,
    }


@pytest.mark.parametrize("name", bad_points())
def test_what_is_no_point_is_no_public_key(name: str) -> None:
    bad, good = bad_points()[name], public_of(7)
    c2 = SUITE_PK.c2.load(SUITE_PK.c2.generate())
    for check in (Ecdsa().verifier, Ecdh().check, Ecdh().encapsulate):
        with pytest.raises(InvalidInput) as caught:
            check(bad)
        assert caught.value.kind == "bad_key"
    for public in (bad + good, good + bad):
        with pytest.raises(InvalidInput) as caught:
            SUITE_PK.device.check(public)
        assert caught.value.kind == "bad_key"
        with pytest.raises(InvalidInput):
            SUITE_PK.control.at_c2(c2, public)


@pytest.mark.parametrize("name", bad_points())
def test_what_is_no_point_is_no_ciphertext(name: str) -> None:
    with pytest.raises(AuthenticationFailed):
        Ecdh().key(b"\7" * 32).decapsulate(bad_points()[name])


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        bytes(32),
        b"\7" * 31,
        b"\7" * 33,
        ORDER.to_bytes(32, "big"),
        (ORDER + 1).to_bytes(32, "big"),
        b"\xff" * 32,
        b"\0" + b"\7" * 32,
    ],
    ids=lambda stored: stored.hex()[:8] + f" of {len(stored)} B",
)
def test_what_is_no_scalar_is_no_private_key(stored: bytes) -> None:
    for load in (Ecdsa().key, Ecdh().key):
        with pytest.raises(InvalidInput) as caught:
            load(stored)
        assert caught.value.kind == "bad_key"
    for pair in (stored + b"\7" * 32, b"\7" * 32 + stored):
        with pytest.raises(InvalidInput) as caught:
            SUITE_PK.device.load(pair)
        assert caught.value.kind == "bad_key"
    assert stored.hex() not in str(caught.value) or not stored


@pytest.mark.parametrize("scalar", [1, 2, ORDER - 1])
def test_every_scalar_in_between_is_a_private_key(scalar: int) -> None:
    stored = scalar.to_bytes(32, "big")
    assert Ecdsa().key(stored).public == Ecdh().key(stored).public == public_of(scalar)


def bad_signatures() -> dict[str, bytes]:
    key = Ecdsa().key(b"\7" * 32)
    good = key.sign(b"message")
    r, s = good[:32], good[32:]
    zero, order, most = bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32
    return {
        "nothing": b"",
        "one byte short": good[:-1],
        "one byte more": good + b"\0",
        "one byte before": b"\0" + good,
        "DER": encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")),
        "r is 0": zero + s,
        "s is 0": r + zero,
        "both are 0": zero + zero,
        "r is n": order + s,
        "s is n": r + order,
        "r is too large": most + s,
        "s is too large": r + most,
        "swapped": s + r,
        "of something else": key.sign(b"another"),
    }


@pytest.mark.parametrize("name", bad_signatures())
def test_what_is_no_signature_does_not_verify(name: str) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        Ecdsa().verifier(public_of(int.from_bytes(b"\7" * 32, "big"))).verify(b"message", bad_signatures()[name])
    assert caught.value.kind == "bad_signature"


def test_a_signature_is_refused_with_any_bit_flipped() -> None:
    key = Ecdsa().key(b"\7" * 32)
    verifier, signature = Ecdsa().verifier(key.public), key.sign(b"message")
    for bit in range(512):
        flipped = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
        with pytest.raises(AuthenticationFailed):
            verifier.verify(b"message", flipped)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, ORDER - 1), st.binary(max_size=100))
def test_signatures_are_ecdsa_with_sha_256(scalar: int, message: bytes) -> None:
    """Checked by the equation of FIPS 186-5, section 6.4.2, with the point computed by addition here."""
    signature = Ecdsa().key(scalar.to_bytes(32, "big")).sign(message)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    e, inverse = int.from_bytes(sha256(message).digest(), "big"), pow(s, -1, ORDER)
    k = (e + r * scalar) * inverse % ORDER
    assert int.from_bytes(public_of(k)[1:33], "big") % ORDER == r


NUMBERS = st.integers(1, 256).flatmap(lambda bits: st.integers(1, 2**bits - 1)).filter(lambda number: number < ORDER)


@settings(max_examples=200, deadline=None)
@given(NUMBERS, NUMBERS)
@example(1, ORDER - 1)
@example(2**255, 2**255 - 1)
@example(2**127, 2**128 - 1)
def test_the_numbers_of_a_signature_of_any_length_come_out_of_its_der_form(r: int, s: int) -> None:
    assert concatenated(encode_dss_signature(r, s)) == r.to_bytes(32, "big") + s.to_bytes(32, "big")
