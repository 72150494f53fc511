# SPDX-License-Identifier: Apache-2.0
"""Standard input, output and error that are full, closed, or cannot show everything: told as such, and never a bug."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from e4core.plugins import load_suite
from tests.cli.command import PATIENCE_S, PROGRAM, environment, program
from tests.cli.devices import TOPIC, stored, with_key
from tests.device.c2 import TinyC2, new_key

NARROW = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
"""Environments in which stdout cannot show every character."""
PRINTING = ["exit-codes", "exit-codes -o json", "--version", "--help", "device --help", "--show-completion bash", ""]
IN_PYTHON = {"exit-codes", "--show-completion bash", "device show --state /nonexistent"}
"""Arguments for which Python itself starts, and finds what its streams are; others go to a fork, which is told."""


FIXED_SHELL = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
"""Completion is for the shell that is named, whatever runs the tests."""


def shell(
    arguments: str, redirection: str = "", env: Mapping[str, str] | None = None, *, in_python: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """What a shell makes of ``e4`` and its arguments and redirections."""
    command = begins(arguments, in_python=in_python or env is not None)
    return subprocess.run(
        ["sh", "-c", f"{shlex.join(command)} {arguments} {redirection}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment({**FIXED_SHELL, **(env or {})}),
        timeout=PATIENCE_S,
        check=False,
    )


def begins(arguments: str, *, in_python: bool = False) -> list[str]:
    return list(PROGRAM) if in_python or arguments in IN_PYTHON else program()


@pytest.fixture
def device(tmp_path: Path) -> str:
    """Options for a device that holds the key of a topic."""
    state = stored(tmp_path / "state", with_key(TinyC2(load_suite("sk")).enrol("x"), new_key()))
    return f"--topic {TOPIC} --state {state}"


@pytest.mark.parametrize("arguments", PRINTING)
def test_a_full_disk_is_an_error_of_storage(arguments: str) -> None:
    done = shell(arguments, ">/dev/full")
    assert done.stderr == b"e4: standard output cannot be written: No space left on device\n"
    assert done.returncode == 18


@pytest.mark.parametrize("arguments", PRINTING)
def test_a_closed_output_is_an_error_of_storage(arguments: str) -> None:
    done = shell(arguments, ">&-")
    assert done.stderr == b"e4: standard output cannot be written: Bad file descriptor\n"
    assert done.returncode == 18


@pytest.mark.parametrize("arguments", PRINTING)
def test_who_closes_the_output_early_gets_no_traceback(arguments: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        command = [*begins(arguments), *arguments.split()]
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=environment(FIXED_SHELL), check=False)
    finally:
        os.close(theirs)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_payloads_and_messages_do_not_get_lost_unnoticed(device: str, redirection: str) -> None:
    done = shell(f"device protect {device}", redirection)
    assert done.stderr.startswith(b"e4: standard output cannot be written")
    assert done.returncode == 18


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"), [("nonesuch", 2), ("device show --state /nonexistent", 18), ("exit-codes", 0)]
)
def test_the_exit_status_is_the_same_if_nobody_can_be_told_why(arguments: str, code: int, redirection: str) -> None:
    done = shell(arguments, redirection)
    assert done.returncode == code
    assert bool(done.stdout) is (code == 0)


def test_a_remark_that_cannot_be_made_spoils_no_result(tmp_path: Path) -> None:
    state = stored(tmp_path / "state", TinyC2(load_suite("sk")).enrol("x").state)
    for number, redirection in enumerate(("2>/dev/full", "2>&-")):
        out = tmp_path / str(number)
        done = shell(f"device export-e4go --out {out} --state {state}", redirection)
        assert done.returncode == 0
        assert out.exists()


def test_a_closed_input_is_an_error_of_storage(device: str) -> None:
    done = shell(f"device protect {device}", "<&-", in_python=True)
    assert done.stderr == b"e4: stdin cannot be read: Bad file descriptor\n"
    assert done.returncode == 18


@pytest.mark.parametrize("env", NARROW)
@pytest.mark.parametrize("arguments", ["exit-codes", "--help"])
def test_tables_and_help_have_rules_that_the_terminal_can_show(env: dict[str, str], arguments: str) -> None:
    done = shell(arguments, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert b"\\u" not in done.stdout
    assert b"---" in done.stdout


def test_where_it_can_be_shown_a_rule_is_a_line() -> None:
    assert "───" in shell("exit-codes", env={"PYTHONIOENCODING": "utf-8"}).stdout.decode()


@pytest.mark.parametrize("env", NARROW)
def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path, env: dict[str, str]) -> None:
    done = shell(f"keygen symmetric --out '{tmp_path}/5€'", env=env)
    assert done.returncode == 0, done.stderr
    assert b"5\\u20ac" in done.stdout or b"5\\udce2\\udc82\\udcac" in done.stdout
