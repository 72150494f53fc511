# SPDX-License-Identifier: Apache-2.0
"""The rows of the table of ``format2.md`` section 1.1, for the independent implementation (`tests.conformance.witness2`)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import NoReturn

from tests.conformance import witness2_falcon, witness2_slh
from tests.conformance.witness2_hybrid import ED25519, X_WING, both
from tests.conformance.witness2_mlkem import ML_KEM_512, ML_KEM_1024, MlKem
from tests.conformance.witness2_primitives import (
    ECDH,
    ECDSA,
    GCM,
    ML_DSA,
    ML_KEM,
    REDUCED_SIV,
    SIV,
    Aead,
    Kem,
    Signature,
)


class Refused(Exception):
    """What is refused, with the kind of the error."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def require(condition: bool, kind: str) -> None:
    if not condition:
        raise Refused(kind)


def kdf(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 with an empty salt, from HMAC alone."""
    prk, out, block = hmac.digest(bytes(32), secret, "sha256"), b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(prk, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def sha3(data: bytes) -> bytes:
    return hashlib.sha3_256(data).digest()


@dataclass(frozen=True)
class Algorithms:
    wire_name: str
    aead: Aead
    signature: Signature | None = None
    kem: Kem | None = None

    @property
    def signature_len(self) -> int:
        return self.signature.signature_len if self.signature else 0

    @property
    def ciphertext_len(self) -> int:
        return self.kem.ciphertext_len if self.kem else 0

    @property
    def public_lens(self) -> tuple[int, int]:
        return (self.signature.public_len, self.kem.public_len) if self.signature and self.kem else (0, 0)

    def check_signature_key(self, public: bytes) -> None:
        assert self.signature
        try:
            self.signature.verify(public, b"", bytes(self.signature_len))
        except ValueError:
            raise Refused("bad_key") from None

    def check_kem_key(self, public: bytes) -> None:
        assert self.kem
        try:
            self.kem.check(public)
        except ValueError:
            raise Refused("bad_key") from None


def _cannot_sign(_private: bytes, _message: bytes) -> NoReturn:
    raise NotImplementedError("this implementation verifies signatures of this scheme, and makes none")


def _kem(of: MlKem) -> Kem:
    return Kem(of.public_len, of.ciphertext_len, 64, of.public, of.check, of.encapsulate, of.decapsulate)


FALCON = Signature(897, 666, 1281 + 897, lambda stored: stored[1281:], _cannot_sign, witness2_falcon.verify)
SLH_DSA = Signature(64, 49_856, 128, lambda stored: stored[64:], _cannot_sign, witness2_slh.verify)

ROWS = {
    row.wire_name: row
    for row in (
        Algorithms("fips-sk", GCM),
        Algorithms("fips-pk", GCM, ECDSA, ECDH),
        Algorithms("pq", SIV, ML_DSA, ML_KEM),
        Algorithms("fast-sk", REDUCED_SIV),
        Algorithms("pq-hybrid", SIV, both(ED25519, ML_DSA), X_WING),
        Algorithms("pq-falcon", SIV, FALCON, _kem(ML_KEM_512)),
        Algorithms("pq-slh", SIV, SLH_DSA, _kem(ML_KEM_1024)),
    )
}
"""Wire name -> what it names."""
