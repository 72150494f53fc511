# SPDX-License-Identifier: Apache-2.0
"""Without a usable liboqs its suites are absent, with one sentence that says what to do; nothing is built or printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nacl import _sodium

from tests.backends.oqs_here import BUILT, missing
from tests.servers import tool

OF_LIBOQS = ["e4backends.pq", "e4backends.pq_falcon", "e4backends.pq_slh"]
NOT_OF_LIBOQS = ["e4backends.pq_pyca", "e4backends.hybrid"]
IMPORT = """
import importlib, sys
try:
    print(importlib.import_module(sys.argv[1]).SUITE.name)
except ImportError as error:
    print(f"ImportError: {error}")
assert "oqs" not in sys.modules
"""
LOAD = """
import sys
from e4core.errors import E4Error
from e4core.plugins import load_suite
try:
    print(load_suite(sys.argv[1]).name)
except E4Error as error:
    print(f"{type(error).__name__}: {error}")
"""
EXPAND = """
from e4backends import oqs
from e4core.errors import E4Error
try:
    oqs.ml_dsa_65().key(b"7" * 32)
except E4Error as error:
    print(f"{type(error).__name__}: {error}")
"""
# what liboqs exports, with no algorithm (-DNONE) or with one that makes keys without asking for random bytes
STUB = """
#include <stddef.h>
#include <string.h>
void OQS_init(void) {}
void OQS_randombytes_custom_algorithm(void (*algorithm)(void *, size_t)) {}
int OQS_randombytes_switch_algorithm(const char *name) { return 0; }
#ifdef NONE
void *OQS_KEM_new(const char *name) { return NULL; }
void *OQS_SIG_new(const char *name) { return NULL; }
#else
static int any;
void *OQS_KEM_new(const char *name) { return &any; }
void *OQS_SIG_new(const char *name) { return &any; }
#endif
int OQS_KEM_keypair_derand(void *k, void *public, void *private, const char *seed) { return 0; }
int OQS_KEM_encaps(void *k, void *ciphertext, void *secret, const char *public) { return 0; }
int OQS_KEM_decaps(void *k, void *secret, const char *ciphertext, const char *private) { return 0; }
int OQS_SIG_keypair(void *s, void *public, void *private) { memset(public, 7, 1952); return 0; }
int OQS_SIG_sign(void *s, void *signature, size_t *n, const char *m, size_t mn, const char *private) { return 0; }
int OQS_SIG_verify(void *s, const char *m, size_t mn, const char *signature, size_t n, const char *public) { return 0; }
"""


def run(program: str, *arguments: str, install_path: Path | str, also: Path | None = None) -> str:
    """What the program printed; it may neither fail nor warn."""
    environment = {**os.environ, "OQS_INSTALL_PATH": str(install_path), "PYTHONPATH": str(also or "")}
    environment["XDG_CACHE_HOME"] = str(also or install_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def put(folder: Path, source: str | Path) -> Path:
    (folder / "lib").mkdir()
    shutil.copy(source, folder / "lib" / "liboqs.so")
    return folder


def compiled(folder: Path, *options: str) -> Path:
    (folder / "stub.c").write_text(STUB)
    library = folder / "stub.so"
    subprocess.run(
        [tool("cc", "gcc"), "-shared", "-fPIC", "-w", *options, "-o", str(library), str(folder / "stub.c")], check=True
    )
    return put(folder, library)


@pytest.mark.parametrize("module", OF_LIBOQS)
def test_without_the_library_one_sentence_says_what_to_do(module: str, tmp_path: Path) -> None:
    said = run(IMPORT, module, install_path=tmp_path)
    assert said.startswith(f"ImportError: there is no liboqs under {tmp_path}, which OQS_INSTALL_PATH names; ")
    assert "make liboqs" in said
    assert "\n" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", NOT_OF_LIBOQS)
def test_suites_of_cryptography_need_no_liboqs(module: str, tmp_path: Path) -> None:
    assert run(IMPORT, module, install_path=tmp_path) in ("pq-pyca", "pq-hybrid")


def test_the_plugin_error_carries_the_sentence_and_names_the_suite(tmp_path: Path) -> None:
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[e4.suites]\nsame-as-pq = e4backends.pq:SUITE\n")
    said = run(LOAD, "same-as-pq", install_path=tmp_path, also=tmp_path)
    assert said.startswith("PluginError: e4.suites: same-as-pq of acme does not load: there is no liboqs under ")
    assert "install liboqs" in said


def test_what_is_no_library_is_told(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no library")
    said = run(IMPORT, "e4backends.pq", install_path=put(tmp_path, text))
    assert said.startswith(f"ImportError: liboqs at {tmp_path}/lib/liboqs.so cannot be used (")


def test_another_library_or_one_that_is_too_old_is_told(tmp_path: Path) -> None:
    said = run(IMPORT, "e4backends.pq", install_path=put(tmp_path, _sodium.__file__))
    assert said.startswith(f"ImportError: liboqs at {tmp_path}/lib/liboqs.so cannot be used (")
    assert "install liboqs 0.13 or later" in said


def test_a_library_built_without_an_algorithm_is_told_with_its_name(tmp_path: Path) -> None:
    folder = compiled(tmp_path, "-DNONE")
    for module, name in (
        ("pq", "ML-DSA-65"),
        ("pq_falcon", "Falcon-padded-512"),
        ("pq_slh", "SLH_DSA_PURE_SHAKE_256F"),
    ):
        said = run(IMPORT, f"e4backends.{module}", install_path=folder)
        assert said.startswith(f"ImportError: this liboqs was built without {name}; ")


def test_a_library_that_expands_seeds_otherwise_is_refused(tmp_path: Path) -> None:
    said = run(EXPAND, install_path=compiled(tmp_path))
    assert said.startswith("UnsupportedSuite: this version of liboqs expands no ML-DSA seeds; ")


@pytest.mark.parametrize("folder", ["lib", "lib64", "."])
def test_the_library_is_found_in_the_folders_that_builds_use(folder: str, tmp_path: Path) -> None:
    built = BUILT / "lib" / "liboqs.so"
    if not built.exists():
        missing("liboqs is not built")
    (tmp_path / folder).mkdir(exist_ok=True)
    shutil.copy(built, tmp_path / folder / "liboqs.so")
    assert run(IMPORT, "e4backends.pq", install_path=tmp_path) == "pq"
