# SPDX-License-Identifier: Apache-2.0
"""``scripts/servers``: what the tests need and is missing is installed where that is allowed, else it says what to type."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "servers"
WANTED = "cmake"
"""A program that is not where the script looks beside the PATH: it is missing on the PATH of these tests."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The only folder of programs: a machine with next to nothing."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def put(path: Path, name: str, does: str) -> None:
    (path / name).write_text(f"#!/bin/bash\n{does}\n")
    (path / name).chmod(0o755)


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", SCRIPT], env={**os.environ, "PATH": str(path)}, capture_output=True, text=True, check=False
    )


def test_who_may_not_install_is_told_the_one_line_to_type(path: Path) -> None:
    put(path, "id", "echo 1000")
    put(path, "apt-get", "exit 1")
    done = run(path)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("missing servers: ")
    assert WANTED in line.partition("to test with them: sudo apt-get install --yes ")[2].split()


@pytest.mark.parametrize(("user", "sudo"), [("0", False), ("1000", True)])
def test_who_may_installs_what_is_missing_and_nothing_else(path: Path, user: str, sudo: bool) -> None:
    put(path, "id", f"echo {user}")
    put(path, "apt-get", f'echo "$@" >> {path}/asked')
    put(path, "make", "")
    if sudo:
        put(path, "sudo", f'echo sudo >> {path}/asked; [ "$1" = -n ] && shift; [ "$1" = true ] || "$@"')
    done = run(path)
    assert (done.returncode, done.stderr) == (0, "")
    asked = (path / "asked").read_text().split("\n")
    assert ("sudo" in asked) is sudo
    installed = asked[-2].split()
    assert installed[:2] == ["install", "--yes"]
    assert WANTED in installed
    assert "make" not in installed


def test_a_failed_installation_is_told_and_stops_nothing(path: Path) -> None:
    put(path, "id", "echo 0")
    put(path, "apt-get", "exit 100")
    done = run(path)
    assert done.returncode == 0
    assert "could not be installed; to test with them: apt-get install --yes " in done.stderr
