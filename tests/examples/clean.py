# SPDX-License-Identifier: Apache-2.0
"""A clean environment: the wheel of this project as its sources are, and of the tests' own nothing but the dependencies."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from scikit_build_core.build import build_wheel; build_wheel(sys.argv[1])"
NO_COMPILER = {"CC": "/nonexistent/cc"}
"""The extension is not what this is about, and takes a while."""
PIP = """#!/bin/sh
export PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
exec {python} -m pip --python {own} "$@"
"""
"""Asks no index: all that is needed is there, or the installation fails."""


def environment(folder: Path) -> Path:
    """Where it is, with a ``pip`` of its own."""
    made, wheels = folder / "environment", folder / "wheels"
    _run([sys.executable, "-c", BUILD, str(wheels)], ROOT, NO_COMPILER)
    venv.create(made)
    (site,) = made.glob("lib/python*/site-packages")
    # a folder named in a .pth file is only searched: what is installed there as editable stays out
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = made / "bin" / "pip"
    pip.write_text(PIP.format(python=sys.executable, own=made / "bin" / "python"))
    pip.chmod(0o755)
    _run([str(pip), "install", "--quiet", "--no-deps", *map(str, wheels.glob("*.whl"))], folder)
    return made


def _run(command: list[str], cwd: Path, more: dict[str, str] | None = None) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("E4_", "PYTHON", "PIP_"))}
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **(more or {})}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
