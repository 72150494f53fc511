# SPDX-License-Identifier: Apache-2.0
"""Builds the C extension as CMake will when it is installed, and loads the three modules of the test build."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

SOURCES = Path(__file__).parents[3] / "backends" / "fast"
SANITIZE = "E4_FAST_SANITIZE"
"""Set in the environment by ``backends/fast/sanitize.sh``; the sanitizers' library is then loaded before Python."""


class SivKey(Protocol):
    @property
    def path(self) -> str: ...
    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes: ...
    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes: ...


class Extension(Protocol):
    """What every build has."""

    AES_ROUNDS: int
    KECCAK_ROUNDS: int

    def SivKey(self, raw: bytes, /) -> SivKey: ...
    def path(self) -> str: ...


class Selectable(Extension, Protocol):
    """What the builds for tests have besides."""

    def paths(self) -> list[str]: ...
    def use(self, name: str, /) -> None: ...


class Full(Selectable, Protocol):
    def sha3_256(self, data: bytes, /) -> bytes: ...


class Probe(Selectable, Protocol):
    def sha3_256_r10(self, data: bytes, /) -> bytes: ...


class Installed(Extension, Protocol):
    def sha3_256_r10(self, data: bytes, /) -> bytes: ...


def _missing() -> list[str]:
    """Packages of Debian that the build lacks."""
    compiler = os.environ.get("CC", "").split()[:1] or ["cc"]
    tools = {"cmake": "cmake", compiler[0]: "gcc", "make": "make"}
    return [package for tool, package in tools.items() if shutil.which(tool) is None]


def need_tools() -> None:
    """Fails the test, or skips it outside CI, where nothing can be compiled."""
    missing = _missing()
    if missing:
        outcome = pytest.fail if os.environ.get("CI") else pytest.skip
        outcome(f"the C extension cannot be built here; apt install {' '.join(missing)}")


def _environment() -> dict[str, str]:
    """Without the sanitizers' library: compilers are not to be tested, and our programs bring their own."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def run(*command: str) -> None:
    """Fails the test, with all that was said, if ``command`` does."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=_environment())
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def _digest(*options: str) -> str:
    """Of all that a build is made of."""
    sources = sorted(path for path in SOURCES.iterdir() if path.suffix in {".c", ".h", ".txt"})
    text = b"".join(path.read_bytes() for path in sources) + repr((sys.executable, sys.version, options)).encode()
    return hashlib.sha3_256(text).hexdigest()[:16]


def _version(toolchain: Sequence[str]) -> str:
    """What the compiler says of itself."""
    given = dict(option.split("=", 1) for option in toolchain)
    compiler = [given["-DCMAKE_C_COMPILER"]] if given else os.environ.get("CC", "").split() or ["cc"]
    return subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False).stdout


def build(
    folder: Path,
    *,
    sanitize: bool = SANITIZE in os.environ,
    targets: Sequence[str] = ("all",),
    toolchain: Sequence[str] = (),
) -> Path:
    """The folder in ``folder`` with the built files; built once, until a source, the compiler or an option changes.

    Args: toolchain: options of CMake, for another processor.
    """
    need_tools()
    warnings = ["-DCMAKE_C_FLAGS=-Werror"] if os.environ.get("CI") else []
    options = [
        "-DE4_FAST_TESTS=ON",
        f"-DE4_FAST_SANITIZE={'ON' if sanitize else 'OFF'}",
        f"-DPython_EXECUTABLE={sys.executable}",
        *warnings,
        *toolchain,
    ]
    flags = [f"{name}={os.environ.get(name, '')}" for name in ("CFLAGS", "LDFLAGS")]
    built = folder / f"e4fast-{_digest(*options, *targets, *flags, _version(toolchain))}"
    with (folder / "e4fast.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (built / "complete").exists():
            shutil.rmtree(built, ignore_errors=True)  # of a run that was ended
            run("cmake", "-S", str(SOURCES), "-B", str(built), *options)
            run("cmake", "--build", str(built), "--parallel", "2", "--target", *targets)
            (built / "complete").touch()
    return built


def load(built: Path, name: str) -> object:
    """A fresh copy of the module at each call."""
    spec = importlib.util.spec_from_file_location(f"e4backends.fast.{name}", built / f"{name}.abi3.so")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def on_every_path(module: Selectable, raw: bytes) -> list[SivKey]:
    """One key for each path of this CPU."""
    keys = []
    for name in reversed(module.paths()):  # the best comes last and stays chosen
        module.use(name)
        keys.append(module.SivKey(raw))
    return keys


def run_program(
    built: Path, name: str, *arguments: str, emulator: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*emulator, str(built / name), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=_environment())
