# SPDX-License-Identifier: Apache-2.0
"""What an installation brings, with a C compiler and without."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .build import need_tools

ROOT = Path(__file__).parents[3]
ROOMS = [
    "e4core",
    *(f"{room}/e4{room}" for room in ("backends", "kms", "transports", "device", "conformance", "c2", "cli")),
]
BUILD = "import sys; from scikit_build_core.build import build_sdist, build_wheel; build_{}(sys.argv[1])"
NO_COMPILER = {"CC": "/nonexistent/cc"}
EXTENSION = "e4backends/fast/_fast.abi3.so"


def _build(what: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As an installer does, but with the tools of this environment."""
    inherited = {name: value for name, value in os.environ.items() if name not in {"E4_REQUIRE_FAST", "LD_PRELOAD"}}
    command = [sys.executable, "-c", BUILD.format(what), str(folder)]
    return subprocess.run(command, cwd=ROOT, env={**inherited, **env}, capture_output=True, text=True, check=False)


def _files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}


def _sources() -> set[str]:
    """What stands in the rooms, by its place in a wheel."""
    rooms = [ROOT / room for room in ROOMS]
    found = {file.relative_to(room.parent) for room in rooms for file in room.rglob("*") if file.is_file()}
    return {str(file) for file in found if "__pycache__" not in file.parts}


def _wheel(folder: Path, env: Mapping[str, str]) -> Path:
    done = _build("wheel", folder, env)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_a_wheel_holds_the_rooms_and_one_extension_for_all_versions_of_python(tmp_path: Path) -> None:
    need_tools()
    wheel = _wheel(tmp_path, {"E4_REQUIRE_FAST": "1"})
    assert "-cp311-abi3-" in wheel.name
    assert _files(wheel) == _sources() | {EXTENSION}


def test_without_a_compiler_the_wheel_has_all_but_the_extension(tmp_path: Path) -> None:
    need_tools()
    wheel = _wheel(tmp_path, NO_COMPILER)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert _files(wheel) == _sources()


def test_without_a_compiler_a_required_extension_is_an_error(tmp_path: Path) -> None:
    need_tools()
    done = _build("wheel", tmp_path, {**NO_COMPILER, "E4_REQUIRE_FAST": "1"})
    assert done.returncode != 0
    assert "compiler" in done.stdout + done.stderr
    assert not list(tmp_path.glob("*.whl"))


def test_a_source_distribution_has_what_a_build_needs(tmp_path: Path) -> None:
    done = _build("sdist", tmp_path, {})
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "backends" / "fast").iterdir()}
    rooms = {
        str(Path(room).parent / name) for room in ROOMS for name in _sources() if name.startswith(Path(room).name + "/")
    }
    assert {"pyproject.toml", "README.md", "LICENSE", *sources, *rooms} <= names
