# SPDX-License-Identifier: Apache-2.0
"""A guide, typed: every file in it is written, every command run, what is shown must come.

A guide says to its readers and to the tests alike:

* A block that begins with a comment naming a file (``# acme.py``) is that file, in the folder of the guide. Of a module
  it may be a part: what is shown of it later goes below.
* ``<!-- terminal: NAME -->`` before a block: its lines ``$ ...`` are typed in that terminal, one after the other; each must
  succeed, and give the lines below it; ``...`` stands for anything. ``fails``: it must not succeed. ``stays``: the last command
  goes on. Then ``types``: the block is typed into what runs there; ``shows``: that appears; ``stops``: Ctrl-C, no block.
* ``pip`` does nothing: the desk makes the entry points of ``pyproject.toml`` visible instead. A `Desk` with an environment
  of its own has the real one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import pytest

from tests.forks import script
from tests.servers import free_port

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
SERVER = "c2"
"""The terminal in which the C2 runs."""
PATIENCE_S = 60.0

_BLOCK = re.compile(r"(?:^<!-- terminal: ([^\n]*) -->\n)?(?:^```(\w+)\n(.*?)^```$)?", re.S | re.M)
_FILE = re.compile(r"# ([\w/.-]+\.(?:py|toml))\n")
_SAME = ((r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME"), (r"\b[0-9a-f]{72}\b", "MESSAGE"), (r"[─\s]+", " "))
"""What differs from run to run, and how wide a column is."""


@dataclass(frozen=True)
class Step:
    """What a page says to do next; ``terminal`` is empty where it shows a file, ``how`` where there is nothing special."""

    terminal: str
    how: str
    text: str


def steps_of(page: str) -> Iterator[Step]:
    source = (GUIDES / f"{page}.md").read_text()
    found = _BLOCK.findall(source)
    assert 2 * sum(language != "" for _, language, _ in found) == len(re.findall(r"^ *```", source, re.M))
    for comment, language, text in found:
        words = re.split(r"[: ]+", comment)
        if comment:
            yield Step(words[0], " ".join(words[1:]), text)
        elif language:
            assert _FILE.match(text), f"{page}: a block is neither a file nor typed in a terminal: {text!r}"
            yield Step("", "", text)


@dataclass
class Desk:
    """The folder of a reader, and the terminals that are open there; two ports are not those that the pages name."""

    folder: Path
    environment: Path | None = None
    """A virtual environment in which the reader installs and runs everything; None: that of the tests."""
    broker_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    terminals: dict[str, Terminal] = field(default_factory=dict)

    def do(self, step: Step) -> None:
        text = re.sub(r"(127\.0\.0\.1(?::| | -p ))1883", rf"\g<1>{self.broker_port}", step.text)
        text = text.replace("127.0.0.1:8884", f"127.0.0.1:{self.api_port}")
        if not step.terminal:
            self._write(text)
            return
        terminal = self.terminals.get(step.terminal) or self._open(step.terminal)
        match step.how:
            case "types":
                terminal.type(text)
            case "shows":
                terminal.shows(text)
            case "stops":
                terminal.stop()
            case _:
                terminal.run(text, step.how)

    def close(self) -> None:
        for terminal in reversed(self.terminals.values()):
            terminal.close()

    def _open(self, name: str) -> Terminal:
        terminal = self.terminals[name] = Terminal(self.folder, self._variables(name))
        if self.environment is None:
            terminal.type("pip() { :; }\n")
        return terminal

    def _write(self, text: str) -> None:
        match = _FILE.match(text)
        assert match
        path = self.folder / match[1]
        path.parent.mkdir(exist_ok=True)
        with path.open("a" if path.suffix == ".py" else "w") as file:
            file.write(text)
        if path.name == "pyproject.toml" and self.environment is None:
            self._make_visible(tomllib.loads(text)["project"])

    def _make_visible(self, project: dict[str, Any]) -> None:
        """Do what ``pip install`` would do for the entry points, if the build found any code."""
        name, version = project["name"], project["version"]
        module = self.folder / name.replace("-", "_")
        assert module.with_suffix(".py").exists() or (module / "__init__.py").exists(), f"{name} would be empty"
        info = self.folder / f"{module.name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        with (info / "entry_points.txt").open("w") as file:
            for group, points in project["entry-points"].items():
                file.writelines([f"[{group}]\n", *(f"{point} = {target}\n" for point, target in points.items())])

    def _variables(self, name: str) -> dict[str, str]:
        away = ("E4_", "PYTEST_", "PYTHON")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(away)}
        programs = f"{self.environment}/bin" if self.environment else f"{script()}:{Path(sys.executable).parent}"
        return {
            **inherited,
            **({} if self.environment else {"PYTHONPATH": str(self.folder)}),
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
            "PYTEST_DEBUG_TEMPROOT": str(self.folder),
            # pytest warns of the finder of an editable installation, which no reader has
            "PYTEST_ADDOPTS": "-W 'ignore:Module already imported:pytest.PytestAssertRewriteWarning'",
            "TERM": "dumb",
            "E4_PORT": str(self.api_port),
            "E4_URL": f"http://127.0.0.1:{self.api_port}",
            **(self._broker() if name == SERVER else {}),
        }

    def _broker(self) -> dict[str, str]:
        """Where the C2 has a broker of its own, at another port; a device would take the same variable for its own broker."""
        settings = self.folder / "e4.toml"
        if settings.exists() and "broker" in settings.read_text():
            return {}
        return {"E4_BROKER": f"embedded://127.0.0.1:{self.broker_port}"}


class Terminal:
    """A shell with a keyboard that has no echo, and a screen that remembers everything."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._screen = ""
        self._read_up_to = 0
        self._news = Condition()
        self._process = subprocess.Popen(
            # a parent that ignores Ctrl-C would make every program here ignore it
            ["/usr/bin/env", "--default-signal=INT", "bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._watcher = Thread(target=self._watch)
        self._watcher.start()

    def run(self, text: str, how: str) -> None:
        commands = re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", text, re.M)
        assert commands, text
        for number, (command, shown) in enumerate(commands, 1):
            if how == "stays" and number == len(commands):
                self.type(command + "\n")
                self.shows(shown)
            else:
                self._finish(command, shown, how)

    def type(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(text)

    def shows(self, text: str) -> None:
        """Wait until these lines have come, in this order, after those that were waited for before."""
        for line in filter(None, map(alike, text.splitlines())):
            self._wait_for_line(re.compile(pattern(line)))

    def stop(self) -> None:
        """Ctrl-C, and wait until the shell is there again."""
        os.killpg(self._process.pid, signal.SIGINT)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + PATIENCE_S
        while children.read_text() and time.monotonic() < deadline:  # else it is typed to the program that ends
            time.sleep(0.02)
        self._finish("true", "", "")

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._watcher.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()

    def _finish(self, command: str, shown: str, how: str) -> None:
        """Run a command to its end; one that only asks, again and again, until it gives what is shown."""
        deadline = time.monotonic() + PATIENCE_S
        asks = re.match(r"e4 \w+ (list|show|members)\b", command)
        while True:
            status, lines = self._run(command)
            if (status != 0) is (how == "fails") and fits(shown, lines):
                return
            if not asks or time.monotonic() > deadline:
                pytest.fail(f"$ {command}\nends with {status} and says\n{''.join(lines)}\nnot\n{shown}")
            time.sleep(0.1)

    def _run(self, command: str) -> tuple[int, list[str]]:
        self.type(f"{command}; status=$?; echo; echo ended-with $status\n")
        start = self._read_up_to
        ended = self._wait_for_line(re.compile(r"ended-with \d+"))
        lines = self._screen[start : self._read_up_to].splitlines(keepends=True)[:-1]
        return int(ended.split()[1]), lines

    def _wait_for_line(self, wanted: re.Pattern[str]) -> str:
        deadline = time.monotonic() + PATIENCE_S
        with self._news:
            while True:
                while (end := self._screen.find("\n", self._read_up_to)) >= 0:
                    line, self._read_up_to = self._screen[self._read_up_to : end], end + 1
                    if wanted.fullmatch(alike(line)):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    pytest.fail(f"{wanted.pattern!r} does not come; there is\n{self._screen}")
                self._news.wait(left)

    def _watch(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._news:
                self._screen += line
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def alike(line: str) -> str:
    """``line`` without what differs from run to run."""
    for expression, text in _SAME:
        line = re.sub(expression, text, line)
    return line.strip()


def pattern(line: str) -> str:
    return re.escape(line).replace(re.escape("..."), ".*")


def fits(shown: str, lines: list[str]) -> bool:
    """Whether these lines came and no others; where nothing is shown, anything may come."""
    wanted = list(filter(None, map(alike, shown.splitlines())))
    came = "".join(f"{line}\n" for line in filter(None, map(alike, lines)))
    expression = "".join(r"(?:.*\n)*?" if line == "..." else rf"{pattern(line)}\n" for line in wanted)
    return not wanted or re.fullmatch(expression, came) is not None


@contextmanager
def desk(environment: Path | None = None) -> Iterator[Desk]:
    """In a folder with a short name, as the path of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="e4-") as folder, ExitStack() as stack:
        made = Desk(Path(folder), environment)
        stack.callback(made.close)
        yield made
