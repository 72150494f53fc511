# SPDX-License-Identifier: Apache-2.0
"""AEADs that the kit knows, computed a second time: a part that gives the bytes of one of them must give them everywhere.

AES-SIV is put together here of CMAC and CTR, so that it is another code than the one that is examined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.cmac import CMAC

from e4core.suite import Aead

Seal = Callable[[bytes, bytes, bytes, bytes], bytes]
"""Key, nonce, plaintext, associated data -> ciphertext and tag."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A published test case."""

    source: str
    key: bytes
    nonce: bytes
    plaintext: bytes
    associated_data: bytes
    sealed: bytes

    @classmethod
    def of(cls, source: str, *values: str) -> Answer:
        """From hexadecimal digits."""
        return cls(source, *map(bytes.fromhex, values))


@dataclass(frozen=True, slots=True)
class Reference:
    """One AEAD."""

    name: str
    source: str
    key_len: int
    nonce_len: int
    seal: Seal
    approved: bool
    answers: tuple[Answer, ...] = ()


def recognised(aead: Aead) -> Reference | None:
    """The algorithm whose bytes ``aead`` gives for at least one short input, if it is one that is known here."""
    fitting = [each for each in _KNOWN if (each.key_len, each.nonce_len) == (aead.key_len, aead.nonce_len)]
    key, nonce = bytes(range(1, aead.key_len + 1)), bytes(range(2, aead.nonce_len + 2))
    for reference, (plaintext, ad) in product(fitting, product((b"", b"sixteen byte msg"), (b"", b"header"))):
        if _gives(aead, key, nonce, plaintext, ad) == reference.seal(key, nonce, plaintext, ad):
            return reference
    return None


def alike(one: Aead, other: Aead) -> bool:
    """Whether two AEADs give the same for one short input, or a shorter one yet."""
    if (one.key_len, one.nonce_len) != (other.key_len, other.nonce_len):
        return False
    key, nonce = bytes(range(1, one.key_len + 1)), bytes(range(2, one.nonce_len + 2))
    return any(_gives(one, key, nonce, p, b"") == _gives(other, key, nonce, p, b"") != b"" for p in (b"", b"message"))


def _gives(aead: Aead, key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    try:
        return aead.key(key).seal(nonce, plaintext, ad)
    except KeyboardInterrupt:
        raise
    except BaseException:  # foreign code, which is judged elsewhere; a panic of Rust is no Exception
        return b""


def siv(key: bytes, _nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
    """AES-SIV (RFC 5297) with one string of associated data."""
    half = len(key) // 2
    mac = _doubled(_cmac(key[:half], bytes(16)))
    mac = _xor(mac, _cmac(key[:half], ad))
    if len(plaintext) >= 16:
        last = plaintext[:-16] + _xor(plaintext[-16:], mac)
    else:
        last = _xor(_doubled(mac), plaintext + b"\x80" + bytes(15 - len(plaintext)))
    tag = _cmac(key[:half], last)
    counter = int.from_bytes(tag, "big") & ~(1 << 63 | 1 << 31)
    stream = Cipher(AES(key[half:]), CTR(counter.to_bytes(16, "big"))).encryptor()
    return tag + stream.update(plaintext) + stream.finalize()


def _cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def _doubled(block: bytes) -> bytes:
    shifted = int.from_bytes(block, "big") << 1
    return ((shifted & (1 << 128) - 1) ^ (0x87 if shifted >> 128 else 0)).to_bytes(16, "big")


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


_GCM_KEY = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
_GCM_NONCE = "cafebabefacedbaddecaf888"
_GCM_PLAIN = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
_GCM_SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
)
_GCM = Reference(
    "AES-256-GCM",
    "SP 800-38D",
    32,
    12,
    lambda key, nonce, plaintext, ad: AESGCM(key).encrypt(nonce, plaintext, ad),
    True,
    (
        Answer.of(
            "the GCM submission to NIST, test case 15",
            _GCM_KEY,
            _GCM_NONCE,
            _GCM_PLAIN + "1aafd255",
            "",
            _GCM_SEALED + "898015ad" + "b094dac5d93471bdec1a502270e3cc6c",
        ),
        Answer.of(
            "the GCM submission to NIST, test case 16",
            _GCM_KEY,
            _GCM_NONCE,
            _GCM_PLAIN,
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            _GCM_SEALED + "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ),
)
_CHACHA = Reference(
    "ChaCha20-Poly1305",
    "RFC 8439",
    32,
    12,
    lambda key, nonce, plaintext, ad: ChaCha20Poly1305(key).encrypt(nonce, plaintext, ad),
    False,
    (
        Answer.of(
            "RFC 8439 section 2.8.2",
            "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
            "070000004041424344454647",
            "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f"
            "6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c6420"
            "62652069742e",
            "50515253c0c1c2c3c4c5c6c7",
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e06"
            "0b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d265"
            "86cec64b61161ae10b594f09e26a7e902ecbd0600691",
        ),
    ),
)
_SIV = Reference("AES-256-SIV", "RFC 5297", 64, 0, siv, False)
_E4_SIV = Reference(
    "AES-256-SIV with one key for both halves",
    "wire.md section 3, RFC 5297",
    32,
    0,
    lambda key, nonce, plaintext, ad: siv(key + key, nonce, plaintext, ad),
    False,
)
_KNOWN = (_GCM, _CHACHA, _SIV, _E4_SIV)

ALGORITHMS: Mapping[str, Reference] = {
    "sk": _E4_SIV,
    "pk": _E4_SIV,
    "fips-sk": _GCM,
    "fips-pk": _GCM,
    "pq": _SIV,
    "pq-hybrid": _SIV,
    "pq-falcon": _SIV,
    "pq-slh": _SIV,
}
"""Wire name -> the AEAD that `format2.md` section 1.1 and `wire.md` say it is; for that of ``fast-sk`` there are the vectors."""
