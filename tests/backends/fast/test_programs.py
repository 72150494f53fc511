# SPDX-License-Identifier: Apache-2.0
"""The C core without Python: the programs that sanitizers and emulators run, with vectors made by others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .build import SANITIZE, build, run_program
from .lines import of_libraries, of_the_reference


@pytest.mark.parametrize("program", ["check", "check_full"])
def test_the_sanitizers_find_nothing(sanitized: Path, program: str) -> None:
    """The short form of ``make sanitize``, which runs all tests of this folder under them."""
    done = run_program(sanitized, program)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-3]) > 10_000


def test_the_sanitizers_are_there(sanitized: Path, built: Path) -> None:
    for folder, expected in ((sanitized, True), (built, SANITIZE in os.environ)):
        assert (b"__asan_init" in (folder / "check").read_bytes()) == expected


@pytest.mark.parametrize("program", ["check", "check_full"])
def test_all_paths_agree_at_every_alignment(built: Path, program: str) -> None:
    done = run_program(built, program)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-3]) > 10_000


def test_no_call_leaves_keys_or_plaintext_on_the_stack(builds: Path) -> None:
    done = run_program(build(builds, sanitize=False), "residue")  # what sanitizers add leaves copies
    assert (done.returncode, done.stdout) == (0, "")


def test_the_vectors_of_others_hold(built: Path, tmp_path: Path) -> None:
    for program, lines in {"check_full": of_libraries(), "check": of_the_reference()}.items():
        vectors = tmp_path / program
        vectors.write_text("\n".join(lines))
        done = run_program(built, program, str(vectors))
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-3]) > len(lines)


@pytest.mark.parametrize("line", [0, 1])
def test_a_wrong_vector_is_found(built: Path, tmp_path: Path, line: int) -> None:
    vectors = tmp_path / "vectors"
    text = of_libraries()[20 + line]
    vectors.write_text(text[:-1] + ("0" if text[-1] != "0" else "1"))
    done = run_program(built, "check_full", str(vectors))
    assert done.returncode == 1
    assert "differently" in done.stderr
