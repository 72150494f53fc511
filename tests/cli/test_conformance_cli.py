# SPDX-License-Identifier: Apache-2.0
"""``e4 conformance``: what it prints, writes and exits with; what it finds is for the tests of the kit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from e4cli.conformance import Kind
from e4conformance.kinds import KINDS
from e4core.plugins import SUITES, names
from tests.cli.command import answer, e4, environment, ok, refused
from tests.conformance.core.zero import install_zero

ONE = ("--only", "E4-HASH-001")


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """Variables with which the suite ``zero`` is installed."""
    install_zero(tmp_path)
    return {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}


def test_the_kinds_are_those_of_the_kit() -> None:
    assert list(Kind) == list(KINDS)


def test_what_passes_is_one_line() -> None:
    done = e4("conformance", "suite", "sk", *ONE, "--seed", "7")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"sk: 1 passed; passes what was checked (seed 7)\n"


def test_what_does_not_conform_is_told_with_what_to_do(broken: dict[str, str]) -> None:
    done = e4("conformance", "suite", "zero", *ONE, "--only", "E4-KDF-001", "--seed", "7", env=broken)
    assert (done.returncode, done.stderr) == (1, b"")
    told = done.stdout.decode()
    requirement = KINDS["suite"].book["E4-HASH-001"]
    for text in ("E4-HASH-001", "failed", "(must)", requirement.says, f"do: {requirement.advice}", requirement.source):
        assert text in told
    assert "E4-KDF-001" not in told
    assert told.splitlines()[-1] == "zero: 1 passed, 1 failed; does not conform (seed 7)"


def test_reports_are_written_in_all_forms(tmp_path: Path) -> None:
    forms = {form: tmp_path / f"report.{form}" for form in ("json", "junit", "html")}
    options = [text for form, path in forms.items() for text in (f"--{form}", str(path))]
    ok("conformance", "suite", "sk", *ONE, *options)
    document = json.loads(forms["json"].read_text())
    assert [entry["id"] for entry in document["requirements"]] == ["E4-HASH-001"]
    assert ET.parse(forms["junit"]).find("testsuite") is not None
    assert forms["html"].read_text().startswith("<!doctype html>")


def test_json_is_the_report() -> None:
    document = answer("conformance", "suite", "sk", *ONE, "--seed", "7")
    assert (document["subject"], document["seed"], document["complete"]) == ("sk", 7, False)


def test_the_seed_is_another_each_time_unless_it_is_given() -> None:
    seeds = {answer("conformance", "suite", "sk", *ONE)["seed"] for _ in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (12, ("suite", "sky"), "no 'sky'; installed: "),
        (3, ("suite", "sk", "--only", "E4-HASH-999"), "no requirement of a suite is called E4-HASH-999"),
        (2, ("suite", "sk", "--seed", "-1"), "--seed"),
        (2, ("lamp", "hall"), "lamp"),
        (3, ("kms", "nothing"), "is no URI"),
        (15, ("kms", "file:///none"), "/none does not exist"),
        (12, ("kms", "nothing:x"), "no 'nothing'; installed: "),
        (3, ("kms", "file:///none", "--hooks", "hooks"), "hooks are named MODULE:NAME, not 'hooks'"),
        (3, ("kms", "file:///none", "--hooks", "no_such:thing"), "the hooks no_such:thing do not load: ModuleNotFound"),
        (3, ("kms", "file:///none", "--hooks", "json:dumps"), "json:dumps is a function; hooks are a "),
        (18, ("suite", "sk", "--html", "/none/report.html"), "there is no folder /none"),
    ],
)
def test_what_goes_wrong_is_one_line(code: int, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(code, "conformance", *arguments)


def test_hooks_are_found_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "my_hooks.py").write_text("HOOKS = 7\n")
    done = e4("conformance", "kms", "file:///none", "--hooks", "my_hooks:HOOKS", cwd=tmp_path)
    assert b"my_hooks:HOOKS is a int; hooks are a " in done.stderr


def test_native_code_that_ends_the_process_leaves_a_report(tmp_path: Path) -> None:
    install_zero(tmp_path, digest="__import__('os').abort()")
    env, path = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "report.json"
    done = e4("-v", "conformance", "suite", "zero", *ONE, "--json", str(path), env=env)
    assert done.returncode == -signal.SIGABRT
    assert b"e4: E4-HASH-001 " in done.stderr
    assert b"Fatal Python error: Aborted" in done.stderr
    (entry,) = json.loads(path.read_text())["requirements"]
    assert (entry["id"], entry["verdict"]) == ("E4-HASH-001", "failed")
    assert entry["detail"].startswith("the process ended while this was checked")


def test_what_does_not_end_has_failed_and_ends_the_run(tmp_path: Path) -> None:
    install_zero(tmp_path, digest="__import__('time').sleep(60)")
    env = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = e4("conformance", "suite", "zero", *ONE, "--only", "E4-HASH-002", "--deadline", "0.1", "-o", "json", env=env)
    assert done.returncode == 1
    first, second = json.loads(done.stdout)["requirements"]
    assert (first["id"], first["verdict"], first["detail"]) == (ONE[1], "failed", "it did not end within 0.1 s")
    assert (second["verdict"], second["detail"]) == ("not exercised", f"the run ended with {ONE[1]}, which did not end")


def test_threads_that_do_not_end_keep_nobody_waiting(tmp_path: Path) -> None:
    pool = "__import__('concurrent.futures').futures.ThreadPoolExecutor()"
    install_zero(tmp_path, digest=f"{pool}.submit(__import__('time').sleep, 600).result()")
    env = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = e4("conformance", "suite", "zero", *ONE, "--deadline", "1", env=env)
    assert (done.returncode, b"it did not end within 1 s" in done.stdout) == (1, True)


def test_native_code_that_does_not_end_leaves_a_report(tmp_path: Path) -> None:
    hangs = (
        "(lambda c, lock: [c.pthread_mutex_lock(lock) for _ in range(2)])(__import__('ctypes').PyDLL(None), bytes(64))"
    )
    install_zero(tmp_path, digest=hangs)
    env, path = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}, tmp_path / "report.json"
    done = e4("conformance", "suite", "zero", *ONE, "--deadline", "0.1", "--json", str(path), env=env)
    assert done.returncode == 1
    assert b"Timeout (0:00:00.200000)!" in done.stderr
    (entry,) = json.loads(path.read_text())["requirements"]
    assert (entry["id"], entry["verdict"]) == ("E4-HASH-001", "failed")


def test_who_asks_for_a_traceback_gets_one() -> None:
    done = e4("conformance", "suite", "sky", env={"E4_DEBUG": "1"})
    assert b"Traceback (most recent call last)" in done.stderr


@pytest.mark.parametrize("kind", ["suite", "kms"])
def test_requirements_are_listed(kind: str) -> None:
    rows = answer("conformance", "list", kind)
    assert [row["id"] for row in rows] == [requirement.id for requirement in KINDS[kind].book]
    assert {row["kind"] for row in rows} == {kind}


def test_names_of_suites_are_completed() -> None:
    shell = {"_E4_COMPLETE": "complete_bash", "COMP_WORDS": "e4 conformance suite fips", "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", "from e4cli.main import app; app(prog_name='e4')"],
        env=environment(shell),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [name for name in names(SUITES) if name.startswith("fips")]


def test_other_commands_load_nothing_of_the_kit() -> None:
    look = "import sys, e4cli.main; print([name for name in sys.modules if name.startswith('e4conformance')])"
    assert subprocess.check_output([sys.executable, "-c", look], text=True) == "[]\n"
