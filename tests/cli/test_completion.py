# SPDX-License-Identifier: Apache-2.0
"""What Tab offers in bash, zsh and fish: commands, options, profiles, and the names that the C2 knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.c2_server import C2
from tests.cli.command import PROGRAM, e4, environment, ok
from tests.forks import script
from tests.servers import tool


def by_bash(line: str) -> dict[str, str]:
    words = line.split(" ")
    return {"_E4_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}


def by_zsh(line: str) -> dict[str, str]:
    return {"_E4_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}


def by_fish(line: str) -> dict[str, str]:
    how = {"_E4_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return {**how, "_TYPER_COMPLETE_ARGS": line}


SHELLS = {"bash": by_bash, "zsh": by_zsh, "fish": by_fish}
Ask = Callable[[str], dict[str, str]]


def offered(ask: Ask, line: str, env: dict[str, str]) -> str:
    done = e4(env={**env, **ask(line)})
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


@pytest.fixture(scope="module", params=list(SHELLS.values()), ids=list(SHELLS))
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def test_commands_and_options_are_offered(ask: Ask) -> None:
    assert "rotate" in offered(ask, "e4 topics ro", {})
    assert "--within" in offered(ask, "e4 topics aim --wi", {})
    assert "json" in offered(ask, "e4 topics list --output j", {})


def test_names_that_the_c2_knows_are_offered(ask: Ask, sk: C2) -> None:
    for name in ("press/1", "press/2", "other/1"):
        sk.run("topics", "create", name)
    told = offered(ask, "e4 topics show press/", sk.env)
    assert "press/1" in told and "press/2" in told and "other" not in told
    sk.run("clients", "create", "robot-1", "--generate")
    assert "robot-1" in offered(ask, "e4 clients show rob", sk.env)
    assert "robot-1" in offered(ask, "e4 topics join press/1 rob", sk.env)
    away = f"--url {sk.env['E4_URL']} --token-file {sk.env['E4_TOKEN_FILE']}"
    assert "other/1" in offered(ask, f"e4 plans show {away} oth", {"E4_URL": "http://127.0.0.1:1"})


def test_a_name_that_a_shell_may_evaluate_is_not_offered(ask: Ask, sk: C2) -> None:
    bad = ["evil$(id)", "evil`id`", 'evil\\"; id; "', "evil;id", "evil id", "evil*", "evil'", "evil\u202e"]
    for name in bad:
        sk.run("topics", "create", name)
    sk.run("topics", "create", "evil-but-plain")
    told = offered(ask, "e4 topics show evil", sk.env)
    assert "evil-but-plain" in told
    assert told.count("evil") == 1


def test_profiles_are_offered(ask: Ask, tmp_path: Path) -> None:
    folder = tmp_path / "e4" / "profiles"
    folder.mkdir(parents=True)
    for name in ("plant.json", "lab.json", "not a name.json"):
        (folder / name).touch()
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    told = offered(ask, "e4 topics list --profile ", env)
    assert "plant" in told and "lab" in told and "not" not in told


def test_where_no_c2_answers_nothing_is_offered_and_nobody_waits(ask: Ask, tmp_path: Path) -> None:
    began = time.monotonic()
    for env in (
        {"E4_URL": "http://127.0.0.1:1", "E4_TOKEN": "e4_x"},
        {"E4_DATA": str(tmp_path)},
        {"E4_URL": "nonsense"},
    ):
        assert "press" not in offered(ask, "e4 topics show press", env)
    assert time.monotonic() - began < 10


def test_a_real_bash_completes(sk: C2, tmp_path: Path) -> None:
    bash = tool("bash", "bash")
    sk.run("topics", "create", "hall/1")
    typed = """
        source completion
        press_tab() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _e4_completion "$1"; echo "${COMPREPLY[@]}"; }
        complete -p e4
        press_tab e4 topics history hal
        press_tab e4 whoa
    """
    (tmp_path / "completion").write_bytes(shown_by("bash", tmp_path))
    path = f"{script()}:{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        [bash, "--norc", "-c", typed],
        cwd=tmp_path,
        env=environment({**sk.env, "PATH": path}),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines() == ["complete -o default -F _e4_completion e4", "hall/1", "whoami"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_that_of_the_shell_in_which_it_is_asked_for(shell: str, tmp_path: Path) -> None:
    assert f"complete_{shell}" in shown_by(shell, tmp_path).decode()


def test_it_is_installed_for_the_user(tmp_path: Path) -> None:
    run_in("bash", tmp_path, "--install-completion", env={"HOME": str(tmp_path)})
    (line,) = (each for each in (tmp_path / ".bashrc").read_text().splitlines() if each)
    assert line.startswith("source ")
    assert "complete_bash" in Path(line.split(" ", 1)[1].strip("'\"")).read_text()


def shown_by(shell: str, folder: Path) -> bytes:
    return run_in(shell, folder, "--show-completion")


def run_in(shell: str, folder: Path, option: str, env: dict[str, str] | None = None) -> bytes:
    """Run ``e4`` as a child of a program with the name of this shell."""
    program = folder / shell
    shutil.copy(tool("bash", "bash"), program)
    done = subprocess.run(
        [program, "-c", '"$@"; exit $?', "x", *PROGRAM, option],
        env=environment(env),
        capture_output=True,
        check=True,
    )
    return done.stdout


def test_a_list_may_be_of_names_that_begin_so(sk: C2) -> None:
    for name in ("wing/1", "wing/2", "winch"):
        sk.run("topics", "create", name)
        sk.run("clients", "create", name, "--generate", "--state", name.replace("/", "-") + ".s")
    for what in ("topics", "clients"):
        assert [each["name"] for each in sk.answer(what, "list", "--prefix", "wing")] == ["wing/1", "wing/2"]
    assert ok("topics", "list", "--prefix", "no-such", env=sk.env) == b""
