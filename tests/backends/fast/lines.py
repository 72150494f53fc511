# SPDX-License-Identifier: Apache-2.0
"""Lines for the programs ``check_full`` (14 and 24 rounds) and ``check`` (10), by who computed what stands in them."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from .build import Probe, on_every_path
from .reference import sha3_256, siv_seal
from .test_full_rounds import SHA3_MESSAGES, WYCHEPROOF
from .test_reference import SIV

LENGTHS = [*range(301), 1024, 65536]
_NOT_IN_THE_COUNTER = (71, 103)
"""Bits of the tag (RFC 5297 section 2.5): the plaintext comes out right without them, and only the comparison refuses."""


def line(kind: str, *fields: bytes) -> str:
    return " ".join([kind, *(field.hex() or "-" for field in fields)])


def of_wycheproof_openssl_and_nist() -> list[str]:
    """With all rounds."""
    lines = []
    for entry in (entry for group in WYCHEPROOF["testGroups"] for entry in group["tests"]):
        raw, ad, plaintext, sealed = (bytes.fromhex(entry[field]) for field in ("key", "aad", "msg", "ct"))
        valid = entry["result"] == "valid"
        lines.append(line("siv", raw, ad, plaintext, sealed) if valid else line("forged", raw, ad, sealed))
    vector = SIV["OpenSSL, aes-256-siv"]
    lines.append(line("siv", *map(bytes.fromhex, (vector.key, *vector.strings, vector.plaintext, vector.sealed))))
    for bits, message, digest in SHA3_MESSAGES:
        lines.append(line("sha3", bytes.fromhex(message)[: int(bits) // 8], bytes.fromhex(digest)))
    return lines


def of_libraries() -> list[str]:
    """With all rounds: ``cryptography`` and ``hashlib``."""
    chance, lines = random.Random(14), []
    for length in LENGTHS:
        raw, text, ad = os.urandom(64), os.urandom(length), os.urandom(chance.randrange(80))
        lines.append(line("siv", raw, ad, text, AESSIV(raw).encrypt(text, [ad])))
        lines.append(line("sha3", text, hashlib.sha3_256(text).digest()))
    return lines


def of_the_reference() -> list[str]:
    """With 10 rounds."""
    lines = []
    for length in [0, 1, 15, 16, 17, 31, 32, 33, 64, 200]:
        raw, text, ad = os.urandom(64), os.urandom(length), os.urandom(26)
        lines.append(line("siv", raw, ad, text, siv_seal(raw, [ad], text, rounds=10)))
        lines.append(line("sha3", text, sha3_256(text, 10)))
    return lines


def of_this_cpu(probe: Probe) -> list[str]:
    """With 10 rounds: what all paths of this CPU give, and what none of them opens."""
    chance, lines = random.Random(10), []
    for length in [*LENGTHS, 100_003]:
        raw, text, ad = os.urandom(64), os.urandom(length), os.urandom(chance.randrange(1, 80))
        (sealed,) = {key.seal(b"", text, ad) for key in on_every_path(probe, raw)}
        lines.append(line("siv", raw, ad, text, sealed))
        lines.append(line("sha3", text, probe.sha3_256_r10(text)))
        lines.append(line("forged", raw, _flipped(ad, chance.randrange(8 * len(ad))), sealed))
        lines += [line("forged", raw, ad, _flipped(sealed, bit)) for bit in _NOT_IN_THE_COUNTER]
    return lines


def _flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(len(data), "little")


def checks(lines: Sequence[str], *, paths: int) -> int:
    """How many checks the program makes with ``lines`` on a CPU of so many ``paths``: see ``check.c``."""
    of_kind = {"siv": 1 + 5 * paths, "forged": 1 + 2 * paths, "sha3": 1}
    return sum(of_kind[each.split()[0]] for each in lines)
