# SPDX-License-Identifier: Apache-2.0
"""What ``make demo`` runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("said", "run"), [([], ""), (["SUITE=fast-sk"], " --suite fast-sk")], ids=["plain", "suite"])
def test_make_demo_takes_a_suite(said: list[str], run: str) -> None:
    command = ["make", "-n", "--no-print-directory", "demo", *said]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].rstrip() == f".venv/bin/e4 demo{run}"
