# SPDX-License-Identifier: Apache-2.0
"""What importing the core costs and draws in, and who may import whom."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import e4core

ROOT = Path(__file__).parents[2]
MODULES = ["e4core", *(f"e4core.{module.name}" for module in pkgutil.iter_modules(e4core.__path__))]
ROOMS = ["e4backends", "e4kms", "e4transports", "e4conformance", "e4device", "e4c2", "e4cli"]
OPTIONAL = ["stevedore", "cryptography", "nacl", *ROOMS]


# what the core takes of the standard library is loaded once, before the process forks
EACH = f"""
import os, sys
import asyncio, base64, dataclasses, enum, hashlib, hmac, json, logging, pathlib, tempfile, typing, urllib.parse
for module in sys.argv[1:]:
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0, module
        continue
    __import__(module)
    print(*[f"{{module}}: {{name}}" for name in {OPTIONAL} if name in sys.modules], sep="\\n", end="", flush=True)
    os._exit(0)
"""


def test_a_module_of_the_core_draws_in_no_plugin_and_no_primitive() -> None:
    command = [sys.executable, "-W", "error", "-c", EACH, *MODULES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_rooms_import_each_other_only_as_designed() -> None:
    command: list[str | Path] = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
