# SPDX-License-Identifier: Apache-2.0
"""The FIPS suites call approved primitives, from one library, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from e4backends import fips, pk, sk
from e4core.suite import Suite
from tests.backends.recording import Recording, recording

ROOT = Path(__file__).parents[2]
SYMMETRIC = {
    "openssl.aead.AESGCM",
    "openssl.hashes.Hash",
    "primitives.hashes.SHA256",
    "primitives.hashes.SHA3_256",
    "primitives.kdf.hkdf.HKDF",
}
"""AES-256-GCM (SP 800-38D), SHA-2 (FIPS 180-4), SHA-3 (FIPS 202), HKDF (SP 800-56C)."""
P256 = {
    "primitives.asymmetric.ec.ECDH",
    "primitives.asymmetric.ec.ECDSA",
    "primitives.asymmetric.ec.SECP256R1",
}
"""SP 800-56A, FIPS 186-5, SP 800-186."""
P256_KEYS = {
    "asn1.decode_dss_signature",
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
"""What makes, reads and writes keys and signatures."""
KERNEL = {"posix.urandom"}
"""Device keys: random numbers of the kernel."""
ALLOWED = {"fips-sk": SYMMETRIC | KERNEL, "fips-pk": SYMMETRIC | P256 | P256_KEYS}


def run(suite: Suite) -> None:
    """All that the core asks of a suite: keys, messages, and commands and reports (`format2.md` sections 1 to 3)."""
    device, c2 = suite.device.load(suite.device.generate()), suite.c2.load(suite.c2.generate())
    device_public, c2_public = suite.device.public(device), suite.c2.public(c2)
    suite.device.check(device_public)
    suite.c2.check(c2_public)
    topic, nonce = suite.hash.digest(b"topic"), bytes(suite.aead.nonce_len)
    key = suite.aead.key(suite.kdf(b"\1" * 32, b"message" + topic + suite.derive_id("client"), suite.aead.key_len))
    sealed = key.seal(nonce, b"payload", b"header")
    assert key.open(nonce, sealed, b"header") == b"payload"
    if suite.signature:
        signature = suite.signature.signer(device).sign(sealed)
        suite.signature.verifier(device_public[: suite.signature.public_len]).verify(sealed, signature)
    at_device, at_c2 = suite.control.at_device(device, c2_public), suite.control.at_c2(c2, device_public)
    assert at_device.open(b"info", b"header", at_c2.seal(b"info", b"header", b"command")) == b"command"
    assert at_c2.open(b"info", b"header", at_device.seal(b"info", b"header", b"report")) == b"report"


def recorded(suite: Suite) -> Recording:
    with recording() as record:
        run(suite)
    return record


@pytest.mark.parametrize("suite", [fips.SUITE_SK, fips.SUITE_PK], ids=lambda suite: suite.name)
def test_a_fips_suite_calls_these_and_no_others(suite: Suite) -> None:
    assert recorded(suite).names == ALLOWED[suite.name]


@pytest.mark.parametrize(
    ("suite", "calls"),
    [
        (sk.SUITE, {"openssl.aead.AESSIV", "_hashlib.openssl_sha3_256", "primitives.kdf.hkdf.HKDF"}),
        (pk.SUITE, {"openssl.aead.AESSIV", "nacl.bindings.crypto_sign.crypto_sign", "_hashlib.compare_digest"}),
    ],
    ids=["sk", "pk"],
)
def test_the_recording_sees_what_other_suites_call(suite: Suite, calls: set[str]) -> None:
    assert calls <= recorded(suite).names


def test_a_process_that_uses_fips_suites_loads_no_other_library() -> None:
    code = """
import sys
import e4core.client, e4core.report
from e4backends import fips
assert not {"nacl", "oqs", "Crypto"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
