# SPDX-License-Identifier: Apache-2.0
"""Processes that are measured: a C2, and what is compared with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_port

_PATIENCE_S = 60.0


class Process:
    """One that answers HTTP at ``port``."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._status = Path(f"/proc/{pid}/status")

    @property
    def memory(self) -> float:
        """The most that was resident so far, in bytes."""
        (line,) = (line for line in self._status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


@contextmanager
def running(command: list[str], port: int, path: str, folder: Path, env: Mapping[str, str]) -> Iterator[Process]:
    """Once it answers at ``path``."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    try:
        until = time.monotonic() + _PATIENCE_S
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command} does not start: {(folder / 'log').read_text()}")
            time.sleep(0.005)
        yield Process(port, process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def c2(folder: Path, settings: Mapping[str, str]) -> Iterator[Process]:
    """``e4 serve`` with HTTP and gRPC, once it is ready."""
    port = free_port()
    others = {name: value for name, value in os.environ.items() if not name.startswith("E4_")}
    here = {"E4_PORT": str(port), "E4_GRPC_PORT": str(free_port()), "E4_REQUESTS_PER_S": "100000"}
    with running(
        [sys.executable, "-m", "e4cli", "serve"], port, "/readyz", folder, {**others, **here, **settings}
    ) as made:
        yield made


@contextmanager
def bare(folder: Path) -> Iterator[Process]:
    """`bare_api`."""
    port = free_port()
    program = str(Path(__file__).with_name("bare_api.py"))
    with running([sys.executable, program, str(port)], port, "/topics/x", folder, os.environ) as made:
        yield made


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except (urllib.error.URLError, OSError):
        return False
    return True
