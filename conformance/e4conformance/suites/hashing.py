# SPDX-License-Identifier: Apache-2.0
"""Requirements of hash and KDF, which are the same in every suite (`format2.md` section 1.2, `wire.md` section 2)."""

from __future__ import annotations

import hashlib
import hmac

from e4conformance.requirement import Unmet, require
from e4conformance.suites.running import in_threads
from e4conformance.suites.subject import SIZES, SUITES, SuiteSubject

_ANSWERS = {
    b"": "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
    b"abc": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
}
_SPONGE = (134, 135, 136, 137, 271, 272, 273)
"""Around one and two blocks of SHA3-256, which have 136 bytes."""
_RFC_5869_3 = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
_HASH_ADVICE = "Give all 32 bytes of SHA3-256 with 24 rounds (hashlib.sha3_256), not Keccak-256, and nothing cut off."
_KDF_ADVICE = (
    "Give HKDF-SHA256 with an empty salt: extract, then expand with the whole info up to the length asked for."
)


@SUITES.must(
    "E4-HASH-001",
    "The hash gives the published values of SHA3-256.",
    source="FIPS 202; format2.md section 1.2; wire.md section 2",
    advice=_HASH_ADVICE,
)
def hash_answers(subject: SuiteSubject) -> None:
    for data, digest in _ANSWERS.items():
        got = subject.suite.hash.digest(data).hex()
        require(got == digest, f"of {data!r} it is {got}, not {digest}")


@SUITES.must(
    "E4-HASH-002",
    "The hash is SHA3-256 at every length.",
    source="FIPS 202; format2.md section 1.2",
    advice=_HASH_ADVICE,
)
def hash_lengths(subject: SuiteSubject) -> None:
    random = subject.random("hash")
    for size in (*SIZES, *_SPONGE, *(random.randrange(3000) for _ in range(50))):
        data = random.randbytes(size)
        require(subject.suite.hash.digest(data) == hashlib.sha3_256(data).digest(), f"it is another for {size} bytes")


@SUITES.must(
    "E4-HASH-003",
    "Several threads may hash at once.",
    source="e4core.suite",
    advice="Make a new hash object for each digest.",
)
def hash_threads(subject: SuiteSubject) -> None:
    data = [bytes([number]) * 100 for number in range(4)]
    due = [hashlib.sha3_256(each).digest() for each in data]
    in_threads(subject, lambda number: subject.suite.hash.digest(data[number]) == due[number], "the hash")


@SUITES.must(
    "E4-KDF-001",
    "The KDF gives the published value of HKDF-SHA256 without salt.",
    source="RFC 5869 appendix A.3; format2.md section 1.2",
    advice=_KDF_ADVICE,
)
def kdf_answer(subject: SuiteSubject) -> None:
    got = subject.suite.kdf(b"\x0b" * 22, b"", 42).hex()
    require(got == _RFC_5869_3, f"test case 3 gives {got}, not {_RFC_5869_3}")


@SUITES.must(
    "E4-KDF-002",
    "The KDF depends on every bit of the secret and of the info.",
    source="RFC 5869 section 2; format2.md section 1.3",
    advice=_KDF_ADVICE,
)
def kdf_inputs(subject: SuiteSubject) -> None:
    random, kdf = subject.random("kdf"), subject.suite.kdf
    for secret_len, info_len in ((1, 1), (32, 16), (32, 200), (64, 33), (300, 300)):
        secret, info = random.randbytes(secret_len), random.randbytes(info_len)
        seen = {kdf(secret, info, 32): "the input itself"}
        for name, changed in _variants(secret, info).items():
            made = kdf(*changed, 32)
            if made in seen:
                raise Unmet(f"{name} gives the same as {seen[made]} ({secret_len} and {info_len} bytes)")
            seen[made] = name


def _variants(secret: bytes, info: bytes) -> dict[str, tuple[bytes, bytes]]:
    first, last = bytes([info[0] ^ 1]) + info[1:], info[:-1] + bytes([info[-1] ^ 0x80])
    return {
        "another first bit of info": (secret, first),
        "another last bit of info": (secret, last if last != first else info[:-1] + bytes([info[-1] ^ 2])),
        "info cut short": (secret, info[:-1]),
        "info extended": (secret, info + b"\0"),
        "another first bit of the secret": (bytes([secret[0] ^ 1]) + secret[1:], info),
        "another last bit of the secret": (secret[:-1] + bytes([secret[-1] ^ 0x80]), info),
        "a longer secret": (secret + b"\1", info),
        "a boundary that is moved": (secret + info[:1], info[1:]),
    }


@SUITES.must(
    "E4-KDF-003",
    "The KDF is HKDF-SHA256 for every length of secret, info and output.",
    source="RFC 5869 section 2; format2.md section 1.2",
    advice=_KDF_ADVICE,
)
def kdf_lengths(subject: SuiteSubject) -> None:
    random = subject.random("kdf lengths")
    for length in (1, 8, 16, 31, 32, 33, 63, 64, 65, 255 * 32):
        for secret_len, info_len in ((32, 0), (32, 90), (1, 1), (64, 200), (65, 1000)):
            secret, info = random.randbytes(secret_len), random.randbytes(info_len)
            made = subject.suite.kdf(secret, info, length)
            where = f"{length} bytes of a secret of {secret_len} and an info of {info_len}"
            require(len(made) == length, f"{where} are {len(made)} bytes")
            require(made == hkdf(secret, info, length), f"{where} are others")


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 with an empty salt (RFC 5869)."""
    root, made, block = hmac.digest(bytes(32), secret, "sha256"), b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(root, block + info + bytes([number]), "sha256")
        made += block
    return made[:length]


@SUITES.must(
    "E4-KDF-004",
    "Several threads may derive at once.",
    source="e4core.suite",
    advice="Make a new KDF object for each derivation.",
)
def kdf_threads(subject: SuiteSubject) -> None:
    due = [hkdf(b"secret", bytes([number]), 64) for number in range(4)]
    in_threads(subject, lambda number: subject.suite.kdf(b"secret", bytes([number]), 64) == due[number], "the KDF")
