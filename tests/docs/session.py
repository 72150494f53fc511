# SPDX-License-Identifier: Apache-2.0
"""A page's console session, typed for real: all its ``console`` blocks, in one shell, in an empty folder.

What is shown below a command is what it must print, line by line, on stdout or stderr. This may differ, and nothing else:

* times; ids and tokens, but what is shown twice must be the same twice, and a later command that names it means the real one;
* the two default ports, so that sessions run anywhere and side by side;
* whatever stands where a line is only ``...``.

A command below which nothing is shown may print what it likes. It must succeed, unless the last line shown is an error of ``e4``.
Commands that go on (`STAYS`) run in the background until the end, and then stop in good order. What only asks (`ASKS`) is asked
again until the answer is the shown one, as devices take their time. ``make`` works on this repository, with the packages under
test; ``pip install`` is not run, but what it names must exist.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

from packaging.requirements import Requirement

from tests.forks import script

ROOT = Path(__file__).parents[2]
PORTS = ("8884", "1883")
"""Of the API and of the broker, as pages show them."""
PATIENCE_S = 30.0
STAYS = re.compile(r"^(?:\w+=\S* )*e4 (?:serve|audit witness)\b|\be4 device run\b.*--subscribe\b")
ASKS = re.compile(r"curl (?!.*(?:--json|-X|-d) )|e4 \w+ (?:list|show|members|topics)\b")
_PAUSE_S = 0.1

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.S | re.M)
_ADDRESS = re.compile(rf"127\.0\.0\.1:({'|'.join(PORTS)})\b")
_TIME = r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|\b1\d{9}(?:\.\d+)?\b"
_NAMED = re.compile(r"\b[0-9a-f]{32}\b|\be4_[\w-]{43}(?![\w-])")
_VARIABLE = re.compile(f"({_TIME}|{_NAMED.pattern})")

_PRELUDE = """
e4() {{
  if [ "$1" = serve ]; then E4_PORT={api} E4_BROKER=embedded://127.0.0.1:{broker} command e4 "$@"
  else E4_URL=http://127.0.0.1:{api} command e4 "$@"; fi
}}
make() {{ command make --no-print-directory -C '{root}' VENV='{prefix}' -o '{prefix}/.installed' "$@"; }}
echo 0"""


@dataclass
class Step:
    """A command, and the lines shown below it."""

    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        return bool(self.shown) and self.shown[-1].startswith("e4: ")


def steps(page: str) -> list[Step]:
    """What the console blocks of a page say."""
    found: list[Step] = []
    for line in "".join(_BLOCK.findall(page)).splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:]))
        elif found and found[-1].command.endswith("\\"):
            found[-1].command += f"\n{line}"
        else:
            found[-1].shown.append(line)
    return found


class Session:
    """Used inside ``with``; at its end nothing of it runs any more."""

    def __init__(self, folder: Path, api_port: int, broker_port: int) -> None:
        """Nothing runs yet. Args: folder: empty.  ports: free ones."""
        self._folder = folder
        self._ports = dict(zip(PORTS, map(str, (api_port, broker_port)), strict=True))
        self._real: dict[str, str] = {}
        self._staying: list[tuple[Step, Path, int]] = []

    def __enter__(self) -> Self:
        (self._folder / "outputs").mkdir()
        (self._folder / "here").mkdir()
        foreign = ("E4_", "MAKE", "MFLAGS", "VENV")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        path = os.pathsep.join([str(script()), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=self._folder / "here",
            env={**inherited, "PATH": path, "TERM": "dumb", "no_proxy": "*"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._ask(_PRELUDE.format(root=ROOT, prefix=sys.prefix, api=self._ports["8884"], broker=self._ports["1883"]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        for group in (self._shell.pid, *(process for _, _, process in self._staying)):
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._shell.communicate()

    def run(self, step: Step) -> None:
        """Raises: AssertionError: it is not as shown."""
        command = self._translated(step.command)
        if command.startswith("pip install "):
            check_requirements(command)
        elif STAYS.search(command):
            self._start(step, command)
        else:
            self._run(step, command)

    def end(self) -> None:
        """Raises: AssertionError: a command that goes on does not, does not stop, or has not printed what is shown."""
        for step, output, _ in self._staying:
            _await(partial(self._fits, step, output), partial(_difference, step, output))
        # devices before the C2 that has their broker
        for step, output, process in reversed(self._staying):
            status = self._ask(f"kill -TERM -- -{process} 2>/dev/null && wait {process}; echo $?")
            assert status == 0, f"ended with {status}:\n{_difference(step, output)}"

    def _start(self, step: Step, command: str) -> None:
        output = self._output()
        # a process group of its own, whose shell outlives the command and tells its status
        job = f"{{ trap : TERM; {command}\nexit $?; }} >{output} 2>&1 </dev/null"
        process = self._ask(f"set -m; {job} & echo $!; set +m")
        _await(lambda: output.read_text().endswith("\n"), lambda: f"{command}\nsays nothing")
        self._staying.append((step, output, process))

    def _run(self, step: Step, command: str) -> None:
        output = self._output()

        def fits() -> bool:
            status = self._ask(f"{{ {command}\n}} >{output} 2>&1 </dev/null; echo $?")
            assert (status != 0) is step.fails, f"ended with {status}:\n{_difference(step, output)}"
            return self._fits(step, output)

        if ASKS.match(command):
            _await(fits, lambda: _difference(step, output))
        else:
            assert fits(), _difference(step, output)

    def _ask(self, script: str) -> int:
        """The number that ``script`` prints in the shell of the session."""
        assert self._shell.stdin and self._shell.stdout
        self._shell.stdin.write(f"{script}\n")
        self._shell.stdin.flush()
        ready, _, _ = select.select([self._shell.stdout], [], [], PATIENCE_S)
        assert ready, f"{script}\ndoes not come to an end; if it is meant to go on, say so in STAYS"
        return int(self._shell.stdout.readline())

    def _output(self) -> Path:
        folder = self._folder / "outputs"
        path = folder / str(len(list(folder.iterdir())))
        path.touch()
        return path

    def _translated(self, text: str) -> str:
        """What a page says, with the ports and the ids of this session."""
        ported = _ADDRESS.sub(lambda found: f"127.0.0.1:{self._ports[found[1]]}", text)
        return _NAMED.sub(lambda found: self._real.get(found[0], found[0]), ported)

    def _fits(self, step: Step, output: Path) -> bool:
        """Whether what is printed is what is shown; if so, ids and tokens are known from now on."""
        if not step.shown:
            return True
        groups: dict[str, str] = {}
        pattern = "".join(self._pattern(line, groups) for line in step.shown)
        found = re.fullmatch(pattern, output.read_text().rstrip("\n") + "\n")
        if found:
            self._real |= {shown: found[group] for shown, group in groups.items()}
        return found is not None and len(set(self._real.values())) == len(self._real)

    def _pattern(self, line: str, groups: dict[str, str]) -> str:
        """What fits a line that is shown. Args: groups: of ids and tokens shown for the first time; added to."""
        if line == "...":
            return r"(?:.*\n)*?"
        fixed = _VARIABLE.split(self._translated(line))
        return (
            "".join(re.escape(text) if n % 2 == 0 else self._variable(text, groups) for n, text in enumerate(fixed))
            + r"[ \r]*\n"
        )

    def _variable(self, text: str, groups: dict[str, str]) -> str:
        if re.fullmatch(_TIME, text):
            return f"(?:{_TIME})"
        if text in self._real.values():
            return re.escape(text)
        if text in groups:
            return f"(?P={groups[text]})"
        groups[text] = f"v{len(groups)}"
        return f"(?P<{groups[text]}>{_NAMED.pattern})"


def check_requirements(command: str) -> None:
    """Raises: AssertionError: a ``pip install`` of what this distribution does not offer."""
    offered = set(metadata("e4core").get_all("Provides-Extra") or ())
    for each in map(Requirement, shlex.split(command, comments=True)[2:]):
        assert each.name == "e4core" and each.extras <= offered, command


def _await(holds: Callable[[], bool], complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, complaint()
        time.sleep(_PAUSE_S)


def _difference(step: Step, output: Path) -> str:
    shown = "\n".join(step.shown)
    return f"$ {step.command}\n--- shown:\n{shown}\n--- printed:\n{output.read_text()}"
