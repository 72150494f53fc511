# SPDX-License-Identifier: Apache-2.0
"""A FIPS provider as ``make fips-provider`` leaves it in ``.cache``; whoever has one says so with ``E4_FIPS_PROVIDER``.

In a process of Python are two OpenSSLs, that of `cryptography` and that of Python, which is SoftHSM's too. A provider that one of
them has loaded refuses the other, so each gets a copy of the file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import tool

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".cache" / "openssl-fips-3.6.3" / "fips.so"
_CONFIG = """
openssl_conf = init
.include {folder}/fipsmodule.cnf
[init]
providers = providers
alg_section = algorithms
[providers]
fips = fips_sect
base = base
[fips_sect]
module = {folder}/{copy}/fips.so
[base]
activate = 1
[algorithms]
default_properties = fips=yes
"""
_START = """
import os
os.environ["OPENSSL_CONF"] = "{folder}/python.cnf"
import _hashlib  # the OpenSSL of Python reads that now, the one of cryptography reads the other later
os.environ["OPENSSL_CONF"] = "{folder}/cryptography.cnf"
"""
_SURELY = """
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from e4backends.modules import Modules
import _hashlib
import pytest
assert [said for said in Modules.of_this_process().objections() if "kernel" not in said] == []
with pytest.raises(UnsupportedAlgorithm):
    AESGCMSIV(bytes(32))
with pytest.raises(ValueError):
    _hashlib.openssl_md5()
"""


def environment(folder: Path) -> dict[str, str]:
    """In which Python runs on the provider alone, both OpenSSLs of it; else the test is skipped, in CI it fails.

    Args: folder: takes what that needs.
    """
    provider = Path(os.environ.get("E4_FIPS_PROVIDER") or BUILT)
    if not provider.is_file():
        text = f"there is no FIPS provider {provider}; run: make fips-provider"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)
    for copy in ("python", "cryptography"):
        (folder / copy).mkdir()
        shutil.copy(provider, folder / copy / "fips.so")
        (folder / f"{copy}.cnf").write_text(_CONFIG.format(folder=folder, copy=copy))
    install = [tool("openssl", "openssl"), "fipsinstall", "-module", str(folder / "python" / "fips.so")]
    subprocess.run([*install, "-out", str(folder / "fipsmodule.cnf")], check=True, capture_output=True, timeout=60)
    (folder / "sitecustomize.py").write_text(_START.format(folder=folder))
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "OPENSSL_CONF": str(folder / "python.cnf")}


def run_on_provider(code: str, folder: Path) -> None:
    """Run ``code`` in a process on the FIPS provider alone, or skip. Args: folder: takes what that needs."""
    run(_SURELY + code, environment(folder))


def run(code: str, extra: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, env={**os.environ, **extra}, check=True, timeout=120
    )
