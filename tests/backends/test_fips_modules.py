# SPDX-License-Identifier: Apache-2.0
"""Which modules compute is told as it is, here by what they refuse."""

from __future__ import annotations

import _hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from e4backends.modules import Modules
from tests.backends.fips_here import environment, run

GOOD = Modules(
    cryptography_in_fips_mode=True, python_in_fips_mode=True, hashlib_is_openssl=True, kernel_in_fips_mode=True
)


def test_nothing_is_said_against_a_process_in_which_all_is_well() -> None:
    assert GOOD.objections() == ()


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        (replace(GOOD, cryptography_in_fips_mode=False), "library cryptography"),
        (replace(GOOD, python_in_fips_mode=False), "ssl and hashlib"),
        (replace(GOOD, hashlib_is_openssl=False), "outside of OpenSSL"),
        (replace(GOOD, kernel_in_fips_mode=False), "kernel"),
        (replace(GOOD, loaded=frozenset({"nacl"})), "PyNaCl is loaded"),
        (replace(GOOD, loaded=frozenset({"Crypto"})), "PyCryptodome is loaded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_fact_that_is_wrong_is_said(modules: Modules, says: str) -> None:
    (objection,) = modules.objections()
    assert says in objection


def test_the_facts_are_those_of_this_process() -> None:
    modules = Modules.of_this_process()
    assert modules.cryptography_in_fips_mode is not _works(lambda: AESSIV(b"\1" * 64))
    assert modules.python_in_fips_mode is not _works(_hashlib.openssl_md5)
    assert modules.loaded == {"nacl", "e4backends.fast._fast", "e4backends.liboqs", "Crypto"} & sys.modules.keys()


def test_a_library_is_seen_once_it_is_loaded() -> None:
    code = """
from e4backends.modules import Modules
assert not Modules.of_this_process().loaded
import nacl
assert Modules.of_this_process().loaded == {"nacl"}
"""
    run(code, {})


def test_one_file_for_both_openssls_is_seen(tmp_path: Path) -> None:
    """The second of them then computes nothing, and says nothing."""
    provider = environment(tmp_path)
    copy = tmp_path / "cryptography" / "fips.so"
    copy.unlink()
    copy.symlink_to(tmp_path / "python" / "fips.so")
    code = """
from e4backends.modules import Modules
assert not Modules.of_this_process().cryptography_in_fips_mode
"""
    run(code, provider)


def _works(call: object) -> bool:
    assert callable(call)
    try:
        call()
    except (UnsupportedAlgorithm, ValueError):
        return False
    return True
