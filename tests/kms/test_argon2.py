# SPDX-License-Identifier: Apache-2.0
"""Derivations that begin together, and a fork amid one: neither fails or waits for ever. In processes that can be killed."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEFORE = """
import os, time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

from e4kms import argon2

def derived(salt, memory_kib=1024):
    root = bytearray(32)
    argon2.derive_into(root, b"correct horse battery", salt * 16, memory_kib=memory_kib, passes=3, lanes=4)
    return bytes(root)

SALTS = [b"1", b"2", b"3", b"4"] * 4
ALONE = [*map(derived, SALTS)]
"""
TOGETHER = """
with ThreadPoolExecutor(8) as threads:
    assert [*threads.map(derived, SALTS)] == ALONE
"""
FORKED = """
for moment in range(8):
    amid = Thread(target=derived, args=(b"0", 32768))
    amid.start()
    time.sleep(0.02 * moment)
    if (child := os.fork()) == 0:
        os._exit(0 if derived(b"1") == ALONE[0] else 1)
    assert os.waitpid(child, 0)[1] == 0
    amid.join()
"""


@pytest.mark.parametrize("story", [TOGETHER, FORKED], ids=["together", "forked"])
def test_each_derivation_comes_to_its_end(story: str) -> None:
    subprocess.run([sys.executable, "-c", BEFORE + story], check=True, timeout=60)
