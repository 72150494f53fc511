# SPDX-License-Identifier: Apache-2.0
"""``e4 serve`` in a process and a directory of its own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.c2.served import PATIENCE_S, bearer, created
from tests.cli.command import program


class Process:
    """``e4 serve`` in a directory of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        others = {name: value for name, value in os.environ.items() if not name.startswith("E4_")}
        defaults = {"E4_PORT": "0", "E4_BROKER": "embedded://127.0.0.1:0"}
        self.process = subprocess.Popen(
            [*program(environment), "serve", "--output", "json"],
            cwd=folder,
            env={**others, **defaults, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(self.end(signal.SIGKILL)[2])
        self.listening: dict[str, Any] = json.loads(line)
        token = (folder / self.listening["admin_token_file"]).read_text().strip()
        self.http = httpx2.Client(
            base_url=self.listening["url"], headers=bearer(token), timeout=PATIENCE_S, trust_env=False
        )
        self.token = token

    def end(self, how: signal.Signals) -> tuple[int, str, str]:
        """Exit status, rest of stdout, stderr."""
        if hasattr(self, "http"):
            self.http.close()
        self.process.send_signal(how)
        out, error = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, error


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, how: signal.Signals) -> None:
    c2 = Process(tmp_path)
    created(c2.http.post("/v1/topics", json={"name": "served"}))
    assert c2.http.get("/v1/ready").status_code == 200
    code, out, error = c2.end(how)
    assert (code, error) == ({signal.SIGTERM: 0, signal.SIGINT: 130}[how], "")
    assert c2.token not in json.dumps(c2.listening) + out
    assert (tmp_path / "e4-data").is_dir()


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "before-the-crash"}
    c2 = Process(tmp_path)
    first = created(c2.http.post("/v1/topics", json={"name": "survivor"}, headers=key))
    c2.end(signal.SIGKILL)
    c2 = Process(tmp_path)
    assert created(c2.http.post("/v1/topics", json={"name": "survivor"}, headers=key)) == first
    assert len(c2.http.get("/v1/topics").json()["items"]) == 1
    assert c2.end(signal.SIGTERM)[0] == 0


def test_the_command_says_in_one_line_why_it_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "e4.toml").write_text("colour = 'red'\n")
    done = subprocess.run(
        [*program(), "serve"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert "'colour'" in done.stderr


def test_the_token_is_shown_at_a_terminal_only(tmp_path: Path) -> None:
    terminal, inside = pty.openpty()
    environment = {**os.environ, "E4_PORT": "0", "E4_BROKER": "memory:terminal"}
    process = subprocess.Popen([*program(), "serve"], cwd=tmp_path, env=environment, stdout=inside)
    os.close(inside)  # else a process that dies leaves the reader waiting
    shown = b""
    while shown.count(b"\n") < 3:
        shown += os.read(terminal, 4096)
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    os.close(terminal)
    assert (tmp_path / "e4-data" / "admin-token").read_bytes().strip() in shown
