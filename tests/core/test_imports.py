# SPDX-License-Identifier: Apache-2.0
"""What importing the core costs and draws in, and who may import whom."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import e4core

ROOT = Path(__file__).parents[2]
MODULES = ["e4core", *(f"e4core.{module.name}" for module in pkgutil.iter_modules(e4core.__path__))]
ROOMS = ["e4backends", "e4kms", "e4transports", "e4conformance", "e4device", "e4c2", "e4cli"]
OPTIONAL = ["stevedore", "cryptography", "nacl", *ROOMS]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_core_draws_in_no_plugin_and_no_primitive(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {OPTIONAL} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_rooms_import_each_other_only_as_designed() -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
