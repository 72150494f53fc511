# SPDX-License-Identifier: Apache-2.0
"""Which cryptographic modules compute in this process, as far as FIPS 140-3 asks for validated ones.

Three may be there: the OpenSSL of `cryptography`, that of Python, which is behind `hashlib`, `hmac` and `ssl`, and the kernel, from
which `os.urandom` comes. What a module is worth is said by its certificate; here is seen only whether each was told to be one.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives.hashes import SHA256, Hash

_KERNEL = Path("/proc/sys/crypto/fips_enabled")
_NOT_APPROVED = {
    "nacl": "PyNaCl",
    "e4backends.fast._fast": "the extension of fast-sk",
    "e4backends.liboqs": "liboqs",
    "Crypto": "PyCryptodome",
}


@dataclass(frozen=True, slots=True)
class Modules:
    """Facts about one process."""

    cryptography_in_fips_mode: bool
    """False too where it was told to be and computes nothing, as when another OpenSSL has loaded the same file before."""
    python_in_fips_mode: bool
    hashlib_is_openssl: bool
    """False: Python computes SHA-2 or SHA-3 with code of its own, as it does without a word where OpenSSL refuses."""
    kernel_in_fips_mode: bool
    loaded: frozenset[str] = frozenset()
    """Libraries that no validated module is behind, by the names of their packages."""

    @classmethod
    def of_this_process(cls) -> Modules:
        return cls(
            cryptography_in_fips_mode=openssl.is_fips_enabled() and _cryptography_computes(),
            python_in_fips_mode=_python_in_fips_mode(),
            hashlib_is_openssl=all(
                constructor.__module__ == "_hashlib" for constructor in (hashlib.sha256, hashlib.sha3_256)
            ),
            kernel_in_fips_mode=_kernel_in_fips_mode(),
            loaded=frozenset(_NOT_APPROVED.keys() & sys.modules.keys()),
        )

    def objections(self) -> tuple[str, ...]:
        """What is not as FIPS 140-3 asks, each as a clause; none: it is."""
        found = {
            "the library cryptography does not run on the FIPS provider of OpenSSL": not self.cryptography_in_fips_mode,
            "Python's ssl and hashlib do not run on the FIPS provider of OpenSSL": not self.python_in_fips_mode,
            "Python's hashlib computes hashes outside of OpenSSL": not self.hashlib_is_openssl,
            "the kernel, which random numbers come from, is not in FIPS mode": not self.kernel_in_fips_mode,
        }
        loaded = (f"{_NOT_APPROVED[package]} is loaded" for package in sorted(self.loaded))
        return (*(clause for clause, is_so in found.items() if is_so), *loaded)


def _cryptography_computes() -> bool:
    try:
        Hash.hash(SHA256(), b"")
    except (InternalError, UnsupportedAlgorithm):
        return False
    return True


def _python_in_fips_mode() -> bool:
    try:
        from _hashlib import get_fips_mode
    except ImportError:  # a Python without OpenSSL
        return False
    return bool(get_fips_mode())


def _kernel_in_fips_mode() -> bool:
    try:
        return _KERNEL.read_bytes().strip() == b"1"
    except OSError:  # a kernel that knows no such mode, or none of Linux
        return False
