# SPDX-License-Identifier: Apache-2.0
"""All that clients and a C2 of the FIPS suites do calls approved primitives, and nothing else: the whole of Format 2, recorded."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from e4backends.fips import SUITE_PK, SUITE_SK
from e4core.kms import Kms
from e4core.suite import Suite
from tests.backends.fips_here import run, run_on_provider
from tests.backends.recording import recording
from tests.c2.approved_story import WHOLE, Chapter, prepare, tell

SYMMETRIC = {
    "openssl.aead.AESGCM",
    "openssl.hashes.Hash",
    "primitives.hashes.SHA256",
    "primitives.hashes.SHA3_256",
    "primitives.kdf.hkdf.HKDF",
    "_hashlib.HASH",
    "_hashlib.openssl_sha256",
}
"""AES-256-GCM (SP 800-38D), SHA-2 (FIPS 180-4), SHA-3 (FIPS 202), HKDF (SP 800-56C); the last two are of the OpenSSL of Python."""
SIGNATURES = {
    "primitives.asymmetric.ec.ECDSA",
    "primitives.asymmetric.ec.SECP256R1",
    "asn1.encode_dss_signature",
    "ec.derive_private_key",
    "ec.from_public_bytes",
    "ec.generate_private_key",
    "openssl.ec.ECPrivateKey",
    "openssl.ec.ECPublicKey",
    "primitives._serialization.Encoding",
    "primitives._serialization.PublicFormat",
    "primitives.asymmetric.ec.ECDSA.algorithm",
    "primitives.asymmetric.ec.ECDSA.deterministic_signing",
    "primitives.asymmetric.ec.EllipticCurvePublicKey",
    "primitives.asymmetric.ec.EllipticCurvePublicKey.from_encoded_point",
    "primitives.asymmetric.ec.derive_private_key",
}
"""FIPS 186-5, SP 800-186, and what makes, reads and writes keys and signatures; the C2 signs its audit log in every suite."""
AGREEMENT = {"primitives.asymmetric.ec.ECDH"}
"""SP 800-56A."""
DATABASE = {"openssl.hmac.HMAC", "_hashlib.compare_digest"}
"""FIPS 198-1, SP 800-108; and what compares without telling where a difference is."""
KERNEL = {"posix.urandom", "random.SystemRandom.randbytes"}
"""Random numbers, all of the kernel."""
ALLOWED = {
    "fips-sk": SYMMETRIC | DATABASE | KERNEL | SIGNATURES,
    "fips-pk": SYMMETRIC | DATABASE | KERNEL | SIGNATURES | AGREEMENT,
}
ON_PROVIDER = """
from pathlib import Path
from e4backends.fips import SUITE_PK, SUITE_SK
from tests.c2.approved_story import WHOLE, tell
for suite in (SUITE_SK, SUITE_PK):
    tell(WHOLE, suite, Path({folder!r}))
"""


def recorded(chapters: Iterable[Chapter], suite: Suite, folder: Path, kms: Kms | None = None) -> set[str]:
    """What is called while the story, or a part of it, is told."""
    prepare(suite, folder)  # no cryptography is in a schema, and it takes long
    with recording() as record:
        tell(chapters, suite, folder, kms)
    return record.names


@pytest.mark.parametrize("suite", [SUITE_SK, SUITE_PK], ids=lambda suite: suite.name)
def test_clients_and_c2_call_these_and_no_others(suite: Suite, tmp_path: Path) -> None:
    assert recorded(WHOLE, suite, tmp_path) == ALLOWED[suite.name]


def test_all_of_it_works_on_a_fips_provider_which_has_no_others(tmp_path: Path) -> None:
    run_on_provider(ON_PROVIDER.format(folder=str(tmp_path)), tmp_path)


def test_a_process_that_uses_fips_suites_loads_no_other_library() -> None:
    code = """
import sys
import e4device.runtime, e4device.statefile
from e4backends import fips
assert not {"nacl", "oqs", "Crypto", "e4backends.fast._fast", "e4backends.liboqs"} & sys.modules.keys()
"""
    run(code, {})
