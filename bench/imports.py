# SPDX-License-Identifier: Apache-2.0
"""``import e4core`` in a fresh process against a bare interpreter: whole processes, start and end included."""

from __future__ import annotations

import subprocess
import sys

from timing import Figures, compare, seconds

UNWANTED = ("stevedore", "cryptography", "nacl", "e4backends")


def figures() -> Figures:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, e4core, e4core.client; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    if found := sorted(set(UNWANTED) & set(loaded)):
        raise SystemExit(f"import e4core loads {', '.join(found)}")
    return {"import": compare(lambda: _process("import e4core"), lambda: _process("pass"))}


def _process(code: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))
