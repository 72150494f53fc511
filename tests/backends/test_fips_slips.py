# SPDX-License-Identifier: Apache-2.0
"""The recording that says what the FIPS suites call sees whatever else is slipped in, wherever that is."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from nacl import bindings

from e4backends.control import DeviceKeyChannel2
from e4backends.fips import SUITE_SK
from e4backends.pyca import Siv
from e4backends.sha3 import Sha3_256
from e4backends.sk import DeviceKey
from e4core.keys import Secret
from e4core.suite import Suite
from e4kms import file as kek_file
from tests.backends.test_fips_calls import ALLOWED, recorded
from tests.c2.approved_story import BEGINNING
from tests.core.fleet import hkdf
from tests.core.suites2 import GCM_PK
from tests.suites import installed


@dataclass(frozen=True)
class Digest:
    """A hash, as a part of a suite."""

    digest: Callable[[bytes], bytes]


class DrawnDeviceKey(DeviceKey):
    def generate(self) -> bytes:
        return Secret(random.Random().randbytes(32))


SLIPPED: dict[str, tuple[Callable[[], Suite], set[str]]] = {
    "messages, names, topic keys, device keys": (
        lambda: replace(SUITE_SK, aead=Siv(), hash=Sha3_256(), kdf=hkdf, device=DrawnDeviceKey()),
        {"openssl.aead.AESSIV", "_hashlib.openssl_sha3_256", "hmac.digest", "random.Random"},
    ),
    "commands, names by PyNaCl, messages by C of this project": (
        lambda: replace(
            SUITE_SK,
            control=DeviceKeyChannel2(Siv()),
            hash=Digest(bindings.crypto_hash_sha256),
            aead=installed("fast-sk").aead,
        ),
        {
            "openssl.aead.AESSIV",
            "nacl.bindings.crypto_hash.crypto_hash_sha256",
            "e4backends.fast.suite.ReducedSiv.key",
        },
    ),
    "key pairs, names by code of Python": (
        lambda: replace(GCM_PK, hash=Digest(lambda data: hashlib.blake2b(data, digest_size=32).digest())),
        {"nacl.bindings.crypto_sign.crypto_sign", "openssl.mlkem.MLKEM768PrivateKey", "_blake2.blake2b"},
    ),
}
"""Suites of which some parts are others, and what is to be seen of each."""


@pytest.mark.parametrize("parts", SLIPPED)
def test_whatever_is_slipped_in_is_seen(parts: str, tmp_path: Path) -> None:
    suite, seen = SLIPPED[parts]
    assert seen <= recorded(BEGINNING, suite(), tmp_path) - ALLOWED["fips-pk"]


def test_a_kek_that_is_not_approved_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "kek.json"
    kek_file.create(path)
    called = recorded(BEGINNING, SUITE_SK, tmp_path, kek_file.open_kms(path.as_uri()))
    assert called - ALLOWED["fips-sk"] == {"openssl.aead.AESGCMSIV"}
