# SPDX-License-Identifier: Apache-2.0
"""The port in C, built for the tests: once, however many processes of one test run ask."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from tests.examples.clean import ROOT
from tests.servers import tool

SOURCES = ROOT / "examples" / "port-c"
HEADERS = {"/usr/include/wolfssl/options.h": "libwolfssl-dev", "/usr/include/jsmn.h": "libjsmn-dev"}


def built(base: Path, target: str, *, is_2k: bool = False) -> Path:
    """The folder in which ``make target`` has built. Args: is_2k: with the limits whose state has less than 2 KiB."""
    _need_tools()
    # under xdist each process has a folder of its own in that of the run
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = run / f"port-c-{target}{'-2k' if is_2k else ''}"
    with (run / "port-c.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "told").exists():
            limits = make("-s", "limits-2k").strip() if is_2k else ""
            told = make(target, f"O={folder}", f"LIMITS={limits}")
            (folder / "told").write_text(told)
    return folder


def make(*arguments: str) -> str:
    """What it prints."""
    ended = subprocess.run(["make", "-C", str(SOURCES), *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _need_tools() -> None:
    for program, package in (("cc", "gcc"), ("make", "make"), ("objdump", "binutils")):
        tool(program, package)
    for header, package in HEADERS.items():
        if not Path(header).exists():
            tool(header, package)
