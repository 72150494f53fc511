# SPDX-License-Identifier: Apache-2.0
"""Which modules compute is told as it is, here by what they refuse; and the suites run on a FIPS provider of OpenSSL.

The latter needs one: ``E4_FIPS_PROVIDER`` names its ``fips.so``, of any OpenSSL from 3.0 on.
"""

from __future__ import annotations

import _hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from e4backends.modules import Modules
from tests.servers import tool

ROOT = Path(__file__).parents[2]
GOOD = Modules(
    cryptography_in_fips_mode=True, python_in_fips_mode=True, hashlib_is_openssl=True, kernel_in_fips_mode=True
)
ON_PROVIDER = """
from cryptography.hazmat.bindings._rust import openssl  # before hashlib takes the provider
from e4backends.modules import Modules
from e4backends.fips import SUITE_PK, SUITE_SK
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
import pytest
assert Modules.of_this_process().cryptography_in_fips_mode
with pytest.raises(UnsupportedAlgorithm):
    AESGCMSIV(bytes(32))
"""
SUITES_USED = """
from tests.backends.test_fips_calls import ALLOWED, recorded
for suite in (SUITE_PK, SUITE_SK):
    assert recorded(suite).names == ALLOWED[suite.name]
"""
CONFIG = """
openssl_conf = init
.include {module}
[init]
providers = providers
alg_section = algorithms
[providers]
fips = fips_sect
base = base
[base]
activate = 1
[algorithms]
default_properties = fips=yes
"""


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
    assert modules.loaded == {"nacl", "e4backends.liboqs", "Crypto"} & sys.modules.keys()


def test_a_library_is_seen_once_it_is_loaded() -> None:
    code = """
from e4backends.modules import Modules
assert not Modules.of_this_process().loaded
import nacl
assert Modules.of_this_process().loaded == {"nacl"}
"""
    _run(code, {})


def test_the_suites_run_on_a_fips_provider(tmp_path: Path) -> None:
    run_on_provider(SUITES_USED, tmp_path)


def run_on_provider(code: str, folder: Path) -> None:
    """Run ``code`` in a process whose `cryptography` is on the FIPS provider alone, or skip; ``folder`` takes what that needs."""
    provider = os.environ.get("E4_FIPS_PROVIDER")
    if not provider:
        pytest.skip("no FIPS provider of OpenSSL: E4_FIPS_PROVIDER=/path/of/fips.so runs this test")
    (folder / "fips.so").symlink_to(Path(provider).resolve())
    module, config = folder / "fipsmodule.cnf", folder / "openssl.cnf"
    install = [tool("openssl", "openssl"), "fipsinstall", "-module", str(folder / "fips.so"), "-out", str(module)]
    subprocess.run(install, check=True, capture_output=True, timeout=60)
    config.write_text(CONFIG.format(module=module))
    _run(ON_PROVIDER + code, {"OPENSSL_CONF": str(config), "OPENSSL_MODULES": str(folder)})


def _works(call: object) -> bool:
    assert callable(call)
    try:
        call()
    except (UnsupportedAlgorithm, ValueError):
        return False
    return True


def _run(code: str, environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
        timeout=60,
    )
