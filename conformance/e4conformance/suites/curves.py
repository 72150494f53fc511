# SPDX-License-Identifier: Apache-2.0
"""What is no public key on the curves that the kit knows, and how a part of such a curve is recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from e4core.suite import Identity, Signature

_P = 2**255 - 19
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493
_P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
_P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

APPROVED_SIGNATURES = {
    *((1312, 2420), (1952, 3309), (2592, 4627)),
    *((32, 7856), (32, 17088), (48, 16224), (48, 35664), (64, 29792), (64, 49856)),
}
"""Lengths of public keys and signatures: ML-DSA (FIPS 204 table 2), SLH-DSA (FIPS 205 table 2)."""
APPROVED_KEMS = {800, 1184, 1568}
"""Lengths of public keys of ML-KEM (FIPS 203 table 3)."""


@dataclass(frozen=True, slots=True)
class SignatureAnswer:
    """A published signature. ``twisted``: another one for the same, made without the key; ``may_twist``: whether it is as good."""

    name: str
    source: str
    public: bytes
    message: bytes
    signature: bytes
    twisted: bytes
    may_twist: bool
    bad_keys: Callable[[bytes], dict[str, bytes]]
    """What is no public key, made of a good one where it must be."""

    def is_of(self, signature: Signature) -> bool:
        """Whether ``signature`` is this scheme, as far as its lengths and the published signature tell."""
        if (signature.public_len, signature.signature_len) != (len(self.public), len(self.signature)):
            return False
        verifier = signature.verifier

        def verifies() -> bool:
            verifier(self.public).verify(self.message, self.signature)
            return True

        return _goes(verifies)


_ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
_ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
"""RFC 7748 section 6.1."""


def is_x25519(part: Identity) -> bool:
    """Whether ``part`` makes of the published private key the published public one."""
    if (part.private_len, part.public_len) != (32, 32):
        return False
    return _goes(lambda: part.public(part.load(_ALICE)) == _ALICE_PUBLIC)


def bad_ed25519(good: bytes) -> dict[str, bytes]:
    """Low order, not canonical, no point, outside the subgroup (a good point and one of order two)."""
    low = [0, 1, _P - 1, 2707385501144840649318225287225658788936804267575313519463743609750303021]
    outside = _P - int.from_bytes(good, "little") % 2**255
    values = {f"low order, number {n}, sign {s}": y | s << 255 for n, y in enumerate(low) for s in (0, 1)}
    values |= {f"not canonical, y = p + {k}": _P + k for k in range(19)}
    values |= {"no point of the curve, y = 2": 2, "outside the subgroup": outside}
    return {name: value.to_bytes(32, "little") for name, value in values.items()}


def bad_x25519() -> dict[str, bytes]:
    low = [
        0,
        1,
        _P - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    ]
    values = {f"low order, number {n}": u for n, u in enumerate(low)}
    values |= {f"low order, number {n}, with the unused bit": u | 1 << 255 for n, u in enumerate(low)}
    values |= {f"not canonical, u = p + {k}": _P + k for k in (0, 1, 2, 9, 18)} | {"with the unused bit": 9 | 1 << 255}
    return {name: value.to_bytes(32, "little") for name, value in values.items()}


def bad_p256(good: bytes) -> dict[str, bytes]:
    """What must not pass for an uncompressed point, of 65 bytes all but for the first."""
    x, y = good[1:33], good[33:]
    beyond = next(n for n in range(100) if pow(_cubic(n), (_P256 - 1) // 2, _P256) == 1)
    root = pow(_cubic(beyond), (_P256 + 1) // 4, _P256)
    return {
        "infinity in one byte": b"\0",
        "infinity, filled up": bytes(65),
        "compressed, filled up": bytes([2 + y[-1] % 2]) + x + bytes(32),
        "hybrid": bytes([6 + y[-1] % 2]) + x + y,
        "off the curve": good[:-1] + bytes([good[-1] ^ 1]),
        "zeros": b"\4" + bytes(64),
        "x not below p": b"\4" + (beyond + _P256).to_bytes(32, "big") + root.to_bytes(32, "big"),
        "y not below p": b"\4" + x + b"\xff" * 32,
        "x and y swapped": b"\4" + y + x,
    }


def is_p256_point(data: bytes) -> bool:
    """Whether ``data`` is an uncompressed point of P-256."""
    x, y = int.from_bytes(data[1:33], "big"), int.from_bytes(data[33:], "big")
    return len(data) == 65 and data[0] == 4 and (y * y - _cubic(x)) % _P256 == 0


def _cubic(x: int) -> int:
    return (pow(x, 3, _P256) - 3 * x + _P256_B) % _P256


def _goes(act: Callable[[], bool]) -> bool:
    try:
        return act()
    except KeyboardInterrupt:
        raise
    except BaseException:  # foreign code that is asked what it is; judged elsewhere
        return False


def _ed25519() -> SignatureAnswer:
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    beyond = int.from_bytes(signature[32:], "little") + _ED25519_ORDER
    return SignatureAnswer(
        "Ed25519",
        "RFC 8032 section 7.1, test 2",
        bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
        b"\x72",
        signature,
        signature[:32] + beyond.to_bytes(32, "little"),
        False,
        bad_ed25519,
    )


def _ecdsa() -> SignatureAnswer:
    public = bytes.fromhex(
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    )
    signature = bytes.fromhex(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    other = _P256_ORDER - int.from_bytes(signature[32:], "big")
    twisted = signature[:32] + other.to_bytes(32, "big")
    return SignatureAnswer(
        "ECDSA P-256", "RFC 6979 appendix A.2.5", public, b"sample", signature, twisted, True, bad_p256
    )


SIGNATURES = (_ed25519(), _ecdsa())
