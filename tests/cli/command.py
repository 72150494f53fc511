# SPDX-License-Identifier: Apache-2.0
"""The ``e4`` command as its users run it: another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import forks

PROGRAM = (sys.executable, "-m", "e4cli")
PATIENCE_S = 30.0
NOWHERE = "/nonexistent"
"""No profile of whoever runs the tests is found there."""
_LATE = ("E4_", "_E4_", "COMP_", "XDG_", "TERM", "TMPDIR")
_CLEARED = ("E4_STATE", "E4_STATE_PASSPHRASE", "E4_BROKER", "E4_DEBUG")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _CLEARED}
    return {**inherited, "TERM": "dumb", "COLUMNS": "200", "XDG_CONFIG_HOME": NOWHERE, **(extra or {})}


def e4(
    *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run ``e4`` without a terminal, to its end."""
    if _needs_python(env):
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env=environment(env),
            cwd=cwd,
            timeout=PATIENCE_S,
            check=False,
            start_new_session=True,
        )
    return forks.run(list(map(str, arguments)), stdin, environment(env), cwd, PATIENCE_S)


def program(env: Mapping[str, str] | None = None) -> list[str]:
    """``e4`` as a process that can be signalled and killed, in a fork where that makes no difference."""
    return list(PROGRAM) if _needs_python(env) else [str(forks.script() / "e4")]


def _needs_python(env: Mapping[str, str] | None) -> bool:
    """Whether Python itself or a library may look at one of these variables when it starts."""
    return not all(name.startswith(_LATE) for name in env or ())


def ok(*arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
    """Standard output of a run that must succeed."""
    done = e4(*arguments, stdin=stdin, env=env)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def answer(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Any:
    """The JSON document that a run gives."""
    return json.loads(ok(*arguments, "--output", "json", env=env))


def refused(code: int, *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    """The one line that a run says before it ends with ``code``."""
    done = e4(*arguments, stdin=stdin, env=env)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == code, (done.returncode, lines)
    assert done.stdout == b""
    assert len(lines) == 1, lines
    assert lines[0].startswith("e4: ")
    return lines[0]


class Running:
    """A command that goes on, by default with a stream of JSON lines."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def event(self, kind: str) -> dict[str, Any]:
        """The next event, which must be of ``kind``."""
        line = self.line()
        assert line, self.errors()
        event: dict[str, Any] = json.loads(line)
        assert event["event"] == kind, event
        return event

    def line(self) -> bytes:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def remark(self) -> bytes:
        """The next line of its standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE_S)
        if how is signal.SIGKILL and self.process.stdout is not None:
            self.process.stdout.read()  # to its end: a fork ends a moment after the program that asked for it
        return code

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@contextmanager
def running(*arguments: str | Path, env: Mapping[str, str] | None = None, output: str = "json") -> Iterator[Running]:
    with subprocess.Popen(
        [*program(env), *map(str, arguments), "--output", output],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(env),
        start_new_session=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()
