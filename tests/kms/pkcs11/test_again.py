# SPDX-License-Identifier: Apache-2.0
"""The number of openCryptoki's lock file, which it closes and goes on with, stays that file's, or is that of its new owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from e4kms.pkcs11.again import lock_kept


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_number_that_was_closed_is_the_lock_file_again_unless_somebody_has_it(tmp_path: Path, is_taken: bool) -> None:
    lock, other = tmp_path / "LCK..APIlock", tmp_path / "other"
    number = os.open(lock, os.O_CREAT | os.O_RDWR)
    with lock_kept():
        os.close(number)
        theirs = os.open(other, os.O_CREAT | os.O_RDWR) if is_taken else number
    try:
        assert theirs == number
        assert os.path.samestat(os.fstat(number), (other if is_taken else lock).stat())
        assert not os.get_inheritable(number)
    finally:
        os.close(number)
    assert not [entry for entry in Path("/proc/self/fd").iterdir() if _target(entry) == lock], "a copy stays open"


def _target(entry: Path) -> Path | None:
    try:
        return entry.readlink()
    except FileNotFoundError:  # the folder itself, as it is read
        return None
