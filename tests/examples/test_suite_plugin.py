# SPDX-License-Identifier: Apache-2.0
"""The suite of somebody else: its wheel beside ours in a clean environment, its own tests, the settings, and the demo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "suite-plugin"
BUILD = "import sys; from {} import build_wheel; build_wheel(sys.argv[1])"
NO_COMPILER = {"CC": "/nonexistent/cc"}
"""The extension is not what this is about, and takes a while."""


class Place:
    """An environment that has the two wheels, and of the one that the tests run in nothing but their dependencies."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "environment" / "bin"
        self.cwd = folder / "desk"
        self.cwd.mkdir()
        wheels = folder / "wheels"
        _run([sys.executable, "-c", BUILD.format("scikit_build_core.build"), str(wheels)], ROOT, NO_COMPILER)
        _run([sys.executable, "-c", BUILD.format("hatchling.build"), str(wheels)], self._copy(folder / "source"))
        venv.create(self.bin.parent)
        (site,) = self.bin.parent.glob("lib/python*/site-packages")
        # a folder named in a .pth file is only searched: what is installed there as editable stays out
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python")]
        quietly = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
        _run([*pip, "install", *quietly, *map(str, wheels.glob("*.whl"))], self.cwd)

    def run(self, program: str, *arguments: str) -> str:
        return _run([str(self.bin / program), *arguments], self.cwd, {"PYTHONDONTWRITEBYTECODE": "1"})

    def _copy(self, folder: Path) -> Path:
        return Path(shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*")))


def _run(command: list[str], cwd: Path, more: dict[str, str] | None = None) -> str:
    away = ("E4_", "PYTEST_", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(away)}
    done = subprocess.run(
        command, cwd=cwd, env={**environment, **(more or {})}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("plugin"))
    shutil.copy(EXAMPLE / "e4.toml", made.cwd)
    yield made


def test_it_runs_on_the_wheels(place: Place) -> None:
    where = "import e4core, e4_suite_chacha; print(e4core.__file__, e4_suite_chacha.__file__)"
    assert all(str(place.bin.parent) in path for path in place.run("python", "-c", where).split())


def test_its_own_tests_pass(place: Place) -> None:
    tests = str(EXAMPLE / "tests")
    assert " passed" in place.run("python", "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tests, tests)


def test_it_is_listed_with_its_author(place: Place) -> None:
    suites = {row["suite"]: row for row in json.loads(place.run("e4", "suites", "--output", "json"))}
    assert suites["chacha-sk"]["from"] == "e4-suite-chacha"
    assert suites["chacha-sk"]["problem"] is None
    assert suites["sk"]["from"] == "e4core"
    assert "C extension was not built" in suites["fast-sk"]["problem"]


def test_the_demo_takes_it_from_the_settings(place: Place) -> None:
    shown = place.run("e4", "demo")
    assert "Suite chacha-sk" in shown
    assert "Suite sk" not in shown
    assert f"All {shown.count('✓')} claims hold." in shown
