# SPDX-License-Identifier: Apache-2.0
"""The C core without Python: the programs that sanitizers and emulators run, with vectors made by others."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from .build import SANITIZE, run_program
from .reference import sha3_256, siv_seal


def _hex(*fields: bytes) -> str:
    return " ".join(field.hex() or "-" for field in fields)


def _full_lines() -> list[str]:
    chance, lines = random.Random(14), []
    for length in [*range(301), 1024, 65536]:
        raw, text, ad = os.urandom(64), os.urandom(length), os.urandom(chance.randrange(80))
        lines.append("siv " + _hex(raw, ad, text, AESSIV(raw).encrypt(text, [ad])))
        lines.append("sha3 " + _hex(text, hashlib.sha3_256(text).digest()))
    return lines


def _reduced_lines() -> list[str]:
    lines = []
    for length in [0, 1, 15, 16, 17, 31, 32, 33, 64, 200]:
        raw, text, ad = os.urandom(64), os.urandom(length), os.urandom(26)
        lines.append("siv " + _hex(raw, ad, text, siv_seal(raw, [ad], text, rounds=10)))
        lines.append("sha3 " + _hex(text, sha3_256(text, 10)))
    return lines


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


def test_the_vectors_of_others_hold(built: Path, tmp_path: Path) -> None:
    for program, lines in {"check_full": _full_lines(), "check": _reduced_lines()}.items():
        vectors = tmp_path / program
        vectors.write_text("\n".join(lines))
        done = run_program(built, program, str(vectors))
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.split()[-3]) > len(lines)


@pytest.mark.parametrize("line", [0, 1])
def test_a_wrong_vector_is_found(built: Path, tmp_path: Path, line: int) -> None:
    vectors = tmp_path / "vectors"
    text = _full_lines()[20 + line]
    vectors.write_text(text[:-1] + ("0" if text[-1] != "0" else "1"))
    done = run_program(built, "check_full", str(vectors))
    assert done.returncode == 1
    assert "differently" in done.stderr
