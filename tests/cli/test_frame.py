# SPDX-License-Identifier: Apache-2.0
"""The frame of the command line: help, exit statuses, errors, completion, and what is loaded at all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from e4cli.exits import TABLE, code_of
from e4cli.output import visible
from e4core import errors
from e4core.errors import E4Error
from tests.cli.command import answer, e4, environment, ok, refused

ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, E4Error)]


def test_help_names_the_commands_and_where_the_exit_statuses_are() -> None:
    text = ok("--help").decode()
    for name in ("device", "keygen", "suites", "exit-codes", "--install-completion"):
        assert name in text


def test_the_installed_command_is_the_same() -> None:
    program = Path(sys.executable).with_name("e4")
    assert subprocess.run([program, "--version"], capture_output=True, check=True).stdout == ok("--version")
    assert re.fullmatch(rb"e4 \d+\.\d+\.\d+\S*\n", ok("--version"))


def test_each_exit_status_has_one_meaning() -> None:
    shown = answer("exit-codes")
    assert shown == [{"code": entry.code, "name": entry.name, "meaning": entry.meaning} for entry in TABLE]
    assert len({entry["code"] for entry in shown}) == len({entry["name"] for entry in shown}) == len(shown)


AS_ANOTHER: dict[type[E4Error], type[E4Error]] = {
    **dict.fromkeys((errors.Replayed, errors.TooOld, errors.InFuture, errors.ClockUnset), errors.NotFresh),
    errors.IssuerUnavailable: errors.TransportError,
}


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_the_exit_status_of_its_nearest_class(kind: type[E4Error]) -> None:
    parents = [code_of(parent("x")) for parent in kind.__mro__[1:] if issubclass(parent, E4Error)]
    assert code_of(kind("x")) not in {0, 2, 70, 130}
    if kind in AS_ANOTHER:
        assert code_of(kind("x")) == code_of(AS_ANOTHER[kind]("x"))
    else:
        assert code_of(kind("x")) not in parents


def test_an_error_that_is_not_in_the_table_is_still_one_of_ours() -> None:
    class Novel(errors.KmsUnavailable):
        pass

    assert code_of(Novel("x")) == code_of(errors.KmsUnavailable("x"))


def test_the_installed_suites_are_shown_with_their_parts() -> None:
    suites = {row["suite"]: row for row in answer("suites")}
    assert suites["sk"]["aead"] == {"part": "Siv", "key": 32, "nonce": 0, "tag": 16}
    assert suites["sk"]["signature"] is None
    assert suites["pk"]["device_key"] == {"part": "Ed25519Identity", "private": 64, "public": 32}
    assert (suites["sk"]["message_overhead"], suites["sk"]["command_overhead"]) == (24, 24)
    assert (suites["pk"]["message_overhead"], suites["pk"]["command_overhead"]) == (104, 24)
    assert (suites["fips-pk"]["message_overhead"], suites["fips-pk"]["command_overhead"]) == (121, 171)
    assert {row["from"] for row in suites.values()} == {"e4core"}
    # those need a library that is not everywhere, and say so
    assert {name for name, row in suites.items() if row["problem"]} <= {"pq", "pq-falcon", "pq-slh"}


def test_the_table_of_suites_is_narrow() -> None:
    lines = ok("suites").decode().splitlines()
    assert any(re.fullmatch(r"pk +e4core +pk +1 +104 +24 +-", line) for line in lines)
    assert max(len(line) for line in lines if line.endswith(" -")) <= 100


def test_a_suite_that_is_broken_takes_nothing_down_but_itself(tmp_path: Path) -> None:
    info = tmp_path / "acme_suite-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-suite\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[e4.suites]\nno-format = acme:FORMAT\nno-aead = acme:AEAD\n")
    (tmp_path / "acme.py").write_text("""
from dataclasses import replace
from e4backends.sk import SUITE
FORMAT, AEAD = replace(SUITE, name="no-format", format=3), replace(SUITE, name="no-aead", aead=None)
""")
    env = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    suites = {row["suite"]: row["problem"] for row in answer("suites", env=env)}
    assert suites["sk"] is None
    assert suites["no-format"] == "e4.suites: no-format of acme-suite is of format 3; there are 1 and 2"
    assert suites["no-aead"] == "e4.suites: no-aead of acme-suite lacks aead.key_len"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonesuch"], "no such command 'nonesuch' (see e4 --help)"),
        (["topic"], "no such command 'topic'. Did you mean 'topics'? (see e4 --help)"),
        (["device", "nonesuch"], "no such command 'nonesuch' (see e4 device --help)"),
        (["topics", "list", "--nope"], "no such option: --nope (see e4 topics list --help)"),
        (["topics", "list", "more"], "got unexpected extra argument(s) (more) (see e4 topics list --help)"),
        (["topics", "list", "--limit"], "option '--limit' requires an argument"),
        (["topics", "rotate"], "missing argument 'TOPIC' (see e4 topics rotate --help)"),
        (["keygen", "symmetric"], "missing option '--out' (see e4 keygen --help)"),
        (["keygen", "--out", "x"], "give either a KIND or --suite (see e4 keygen --help)"),
    ],
)
def test_a_usage_error_is_one_line_that_names_what_is_wrong(arguments: list[str], line: str) -> None:
    assert refused(2, *arguments) == f"e4: {line}"


def test_a_value_out_of_range_is_told_with_the_option_that_has_it() -> None:
    line = refused(2, "topics", "list", "--limit", "0")
    assert "'--limit'" in line
    assert "greater than or equal to 1" in line


def test_without_a_command_it_shows_its_help() -> None:
    for arguments in ([], ["device"]):
        done = e4(*arguments)
        assert (done.returncode, done.stderr) == (2, b"")
        assert b"Usage: e4" in done.stdout


def test_a_bug_is_one_line_and_its_traceback_is_there_for_who_asks() -> None:
    script = """
import sys
from e4cli import main
sys.argv = ["e4", "bug"]
@main.app.command("bug")
def bug() -> None:
    raise ZeroDivisionError("a detail that may be secret")
main.main()
"""

    def run(**extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script]
        return subprocess.run(command, capture_output=True, text=True, env=environment(extra), check=False)

    quiet, loud = run(), run(E4_DEBUG="1")
    assert quiet.returncode == loud.returncode == 70
    assert quiet.stderr == "e4: unexpected ZeroDivisionError; set E4_DEBUG=1 to see where, and report it\n"
    assert "Traceback" in loud.stderr
    assert "Traceback" not in quiet.stderr


def test_nothing_from_outside_steers_the_terminal(tmp_path: Path) -> None:
    line = refused(18, "device", "show", "--state", tmp_path / "a\x1b[31m\nb")
    assert "\x1b" not in line
    assert visible("a\tb\x1b[0m\u202e\x9b") == "a\\tb\\x1b[0m\\u202e\\x9b"


def test_completion_knows_the_commands() -> None:
    words = {"_E4_COMPLETE": "complete_bash", "COMP_WORDS": "e4 device ", "COMP_CWORD": "2"}
    assert {"init", "run", "protect", "unprotect"} <= set(ok(env=words).decode().split())


def test_help_loads_neither_plugins_nor_cryptography() -> None:
    script = """
import json, sys
import e4cli.main
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    loaded = json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert not {"cryptography", "nacl", "stevedore", "paho", "amqtt", "sqlalchemy", "fastapi", "httpx2", "grpc"} & set(
        loaded
    )
