# SPDX-License-Identifier: Apache-2.0
"""Parts made of liboqs: ML-KEM (FIPS 203), ML-DSA-65 (FIPS 204), SLH-DSA (FIPS 205), Falcon. All lengths are in bytes."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from e4backends import checks, liboqs, pq_pyca
from e4backends.liboqs import NativeKem, NativeSignature
from e4core.errors import AuthenticationFailed, InvalidInput, UnsupportedSuite
from e4core.keys import Secret

_ML_KEM_MODULUS = 3329
_FALCON_MODULUS = 12289
# ML-DSA-65: FIPS 204 sections 4 and 7.2; z is 1280 values of 20 bits
_CHALLENGE_LEN, _Z_LEN, _BETA = 48, 1280 * 20 // 8, 196
_ONES = (1 << 8 * _Z_LEN) // ((1 << 20) - 1)
_TOP = _ONES << 19
_LOW = _ONES * ((1 << 19) - 1)
_TO_ABOVE, _TO_BEYOND = _ONES * ((1 << 19) - 1 - _BETA), _ONES * _BETA


class _OfLiboqs:
    """What a conformance report says of it."""

    __slots__ = ()

    @property
    def about(self) -> dict[str, str]:
        return {"liboqs": liboqs.version()}


@dataclass(frozen=True, slots=True)
class _KemKey:
    public: bytes
    _private: Secret
    _native: NativeKem = field(repr=False)

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        """A ciphertext of the right length always gives a secret, a random one if it was changed (implicit rejection)."""
        if len(ciphertext) != self._native.ciphertext_len:
            raise AuthenticationFailed
        return self._native.decapsulate(self._private, ciphertext)


@dataclass(frozen=True, slots=True)
class MlKem(_OfLiboqs):
    """ML-KEM of one size. Stored: the seed d | z (FIPS 203 section 7.1)."""

    name: str
    _native: NativeKem = field(repr=False)
    private_len = 64

    @property
    def public_len(self) -> int:
        return self._native.public_len

    @property
    def ciphertext_len(self) -> int:
        return self._native.ciphertext_len

    def generate(self) -> bytes:
        return Secret(os.urandom(self.private_len))

    def key(self, stored: bytes, /) -> _KemKey:
        public, private = self._native.expand(checks.private_key(stored, self.private_len, self.name))
        return _KemKey(public, private, self._native)

    def check(self, public: bytes, /) -> None:
        """The check of the encapsulation key of FIPS 203 section 7.2; not every liboqs makes it."""
        vector = checks.public_key(public, self.public_len, self.name)[:-32]
        if not checks.fields_below(int.from_bytes(vector, "little"), 12, len(vector) * 8 // 12, _ML_KEM_MODULUS):
            raise checks.no_key(f"{self.name} public")

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        self.check(public)
        return self._native.encapsulate(bytes(public))


@dataclass(frozen=True, slots=True)
class _SignatureKey:
    public: bytes
    _private: Secret
    _native: NativeSignature = field(repr=False)

    def sign(self, message: bytes, /) -> bytes:
        return self._native.sign(self._private, message)


def _no_more(_signature: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class _Verifier:
    _public: bytes
    _native: NativeSignature = field(repr=False)
    _holds: Callable[[bytes], bool] = field(repr=False, default=_no_more)
    """What the library forgets to ask of a signature."""

    def verify(self, message: bytes, signature: bytes, /) -> None:
        if not (self._native.verifies(self._public, message, signature) and self._holds(signature)):
            raise AuthenticationFailed("the signature does not verify", kind="bad_signature")


@dataclass(frozen=True, slots=True)
class MlDsa65(_OfLiboqs):
    """ML-DSA-65, hedged, empty context. Stored: the seed xi (FIPS 204 section 5.1)."""

    _native: NativeSignature = field(repr=False)
    private_len = 32
    public_len = 1952
    signature_len = 3309

    def generate(self) -> bytes:
        return Secret(os.urandom(self.private_len))

    def key(self, stored: bytes, /) -> _SignatureKey:
        """liboqs has no call that expands a seed; what it makes of one is compared with what `cryptography` makes of it."""
        expected = pq_pyca.MlDsa65().key(stored).public
        public, private = self._native.expand(Secret(stored))
        if public != expected:
            raise UnsupportedSuite(
                "this version of liboqs expands no ML-DSA seeds; use the suite pq-pyca, or another version"
            )
        return _SignatureKey(public, private, self._native)

    def verifier(self, public: bytes, /) -> _Verifier:
        return _Verifier(checks.public_key(public, self.public_len, "ML-DSA-65"), self._native, is_short)


@dataclass(frozen=True, slots=True)
class StoredPair(_OfLiboqs):
    """A scheme of which liboqs knows no seeds. Stored: private key | public key, as liboqs gives them."""

    name: str
    _native: NativeSignature = field(repr=False)
    _is_public: Callable[[bytes], bool] = field(repr=False)

    @property
    def private_len(self) -> int:
        return self._native.private_len + self._native.public_len

    @property
    def public_len(self) -> int:
        return self._native.public_len

    @property
    def signature_len(self) -> int:
        return self._native.signature_len

    def generate(self) -> bytes:
        public, private = self._native.generate()
        return Secret(private + public)

    def key(self, stored: bytes, /) -> _SignatureKey:
        """Raises: InvalidInput (``bad_key``): the two do not belong together as well, found out by signing."""
        stored, cut = checks.private_key(stored, self.private_len, self.name), self._native.private_len
        key = _SignatureKey(bytes(stored[cut:]), Secret(stored[:cut]), self._native)
        try:
            self.verifier(key.public).verify(b"", key.sign(b""))
        except AuthenticationFailed:
            raise _not_its_public_half() from None
        return key

    def verifier(self, public: bytes, /) -> _Verifier:
        public = checks.public_key(public, self.public_len, self.name)
        if not self._is_public(public):
            raise checks.no_key(f"{self.name} public")
        return _Verifier(public, self._native)


@dataclass(frozen=True, slots=True)
class SlhDsa(_OfLiboqs):
    """SLH-DSA-SHAKE-256f, hedged, empty context. Stored: the private key of FIPS 205 section 9.1; its second half is public."""

    _native: NativeSignature = field(repr=False)
    private_len = 128
    public_len = 64
    signature_len = 49_856

    def generate(self) -> bytes:
        return self._native.generate()[1]

    def key(self, stored: bytes, /) -> _SignatureKey:
        """Computes the public half anew, for some ms.

        Raises: InvalidInput (``bad_key``): the stored one is another, under which nothing would verify.
        """
        private, cut = checks.private_key(stored, self.private_len, "SLH-DSA-SHAKE-256f"), self.private_len - 32
        public, expanded = self._native.expand(Secret(private[:cut]))
        if not hmac.compare_digest(expanded[:cut], private[:cut]):
            raise UnsupportedSuite("this version of liboqs expands no SLH-DSA seeds; use another version")
        if public != private[64:]:
            raise _not_its_public_half()
        return _SignatureKey(public, private, self._native)

    def verifier(self, public: bytes, /) -> _Verifier:
        public = checks.public_key(public, self.public_len, "SLH-DSA-SHAKE-256f")
        return _Verifier(public, self._native)


def ml_kem_512() -> MlKem:
    return MlKem("ML-KEM-512", liboqs.kem("ML-KEM-512", 800, 1632, 768))


def ml_kem_768() -> MlKem:
    return MlKem("ML-KEM-768", liboqs.kem("ML-KEM-768", 1184, 2400, 1088))


def ml_kem_1024() -> MlKem:
    return MlKem("ML-KEM-1024", liboqs.kem("ML-KEM-1024", 1568, 3168, 1568))


def ml_dsa_65() -> MlDsa65:
    return MlDsa65(liboqs.signature("ML-DSA-65", 1952, 4032, 3309))


def falcon_512() -> StoredPair:
    """Falcon-512 of round 3 of the NIST contest, with signatures padded to one length. It is not the FN-DSA of a later FIPS 206."""
    return StoredPair("Falcon-512", liboqs.signature("Falcon-padded-512", 897, 1281, 666), _is_falcon_public)


def slh_dsa() -> SlhDsa:
    """liboqs has it from 0.15 on; the SPHINCS+ of older ones makes other signatures."""
    return SlhDsa(liboqs.signature("SLH_DSA_PURE_SHAKE_256F", 64, 128, 49_856))


def _is_falcon_public(public: bytes) -> bool:
    """A header that says 512, then 512 values of 14 bits, each below the modulus."""
    return public[0] == 9 and checks.fields_below(int.from_bytes(public[1:], "big"), 14, 512, _FALCON_MODULUS)


def is_short(signature: bytes) -> bool:
    """The bound on z (FIPS 204, algorithm 8, line 13), which liboqs 0.13 leaves out where it computes with AVX2.

    What stands in the signature is 2^19 - z, and z must be less than 2^19 - beta away from 0. All 1280 values are computed at
    once, in 5 us, a tenth of a verification: the 19 low bits of each plus a constant, so that what is ``above`` beta, or
    ``beyond`` 2^19 - beta - 1, carries into the top bit. A value is out of bounds where both carries equal its own top bit.
    """
    packed = int.from_bytes(signature[_CHALLENGE_LEN : _CHALLENGE_LEN + _Z_LEN], "little")
    low = packed & _LOW
    above, beyond = low + _TO_ABOVE, low + _TO_BEYOND
    return (above ^ packed | beyond ^ packed) & _TOP == _TOP


def _not_its_public_half() -> InvalidInput:
    return InvalidInput("the public half does not belong to this private key", kind="bad_key")
