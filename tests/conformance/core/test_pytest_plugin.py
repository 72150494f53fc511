# SPDX-License-Identifier: Apache-2.0
"""A third party's whole test file is one line: what it collects, how its tests end, and the report of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from e4conformance import pytest_plugin
from e4conformance.kinds import KINDS
from e4conformance.kit import Outcome, Verdict
from e4conformance.requirement import Level
from e4conformance.testing.requirements import Examined, RequirementWarning, ends
from tests.conformance.core.tiny import BOOK, Lamp
from tests.conformance.core.zero import install_zero

pytest_plugins = ["pytester"]
EXAMINED = Examined("suite", "hall", 7, Lamp(), {})


class Place:
    """A folder with the test file of a vendor."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.folder = pytester.path
        install_zero(self.folder)
        (self.folder / "test_it.py").write_text("from e4conformance.testing.suite import *\n")

    def pytest(self, *arguments: str, settings: str = "", status: int = 0, fresh: bool = False) -> str:
        """What it prints. Args: settings: lines of ``pytest.ini``. fresh: in a process of its own, for the suite ``zero``."""
        (self.folder / "pytest.ini").write_text(f"[pytest]\n{settings}\n")
        run = self._pytester.runpytest_subprocess if fresh else self._pytester.runpytest_inprocess
        done = run("-p", pytest_plugin.__name__, "-p", "no:cacheprovider", *arguments)
        printed = f"{done.stdout}\n{done.stderr}"
        assert done.ret == status, printed
        return printed


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """A run within this process forgets the modules that it has loaded, and some can be loaded only once."""
    with KINDS["suite"].subject("sk", 0):
        pass


@pytest.fixture
def place(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Place:
    pytester.syspathinsert()
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path))
    monkeypatch.setenv("COLUMNS", "200")
    return Place(pytester)


def test_there_is_a_test_for_each_requirement_named_by_its_id(place: Place) -> None:
    printed = place.pytest("--collect-only", "-q", settings="e4_suite = sk")
    assert re.findall(r"^test_it.py::test_suite\[(.*)\]$", printed, re.M) == [each.id for each in KINDS["suite"].book]


def test_several_subjects_are_named_before_the_id(place: Place) -> None:
    printed = place.pytest("--collect-only", "-q", "-k", "E4-HASH-001 or E4-HASH-002", settings="e4_suite = sk pk")
    wanted = [f"{name}-{number}" for name in ("sk", "pk") for number in ("E4-HASH-001", "E4-HASH-002")]
    assert re.findall(r"\[(.*)\]$", printed, re.M) == wanted


def test_the_command_line_goes_before_the_settings(place: Place) -> None:
    assert "1 passed" in place.pytest("--e4-suite", "sk", "-k", "E4-HASH-001", settings="e4_suite = sky")


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_a_run_says_what_to_do_and_reports_the_whole_of_it(workers: tuple[str, ...], place: Place) -> None:
    chosen = ("-k", "E4-HASH or E4-KDF or E4-SIG-001", "--e4-seed", "7")
    report = ("--e4-report", "r.json")
    printed = place.pytest(*chosen, *workers, *report, settings="e4_suite = zero", status=1, fresh=True)
    requirement = KINDS["suite"].book["E4-HASH-001"]
    assert "E4-HASH-001 failed: " in printed
    for line in (requirement.says, f"do: {requirement.advice}", f"see: {requirement.source}", "again: --e4-seed 7"):
        assert f"\n{line}\n" in printed
    assert "Traceback" not in printed
    document = json.loads((place.folder / "r.json").read_text())
    of_book = [each.id for each in KINDS["suite"].book if re.match("E4-(HASH|KDF|SIG-001)", each.id)]
    assert [entry["id"] for entry in document["requirements"]] == of_book
    assert Counter(entry["verdict"] for entry in document["requirements"])["not applicable"] == 1
    assert [document[each] for each in ("subject", "seed", "conforms", "complete")] == ["zero", 7, False, False]
    assert f"zero: {document['summary']}; does not conform (seed 7): r.json" in printed


def test_several_subjects_have_a_report_each(place: Place) -> None:
    place.pytest("-k", "E4-KDF-001", "--e4-report", "r.html", settings="e4_suite = sk pk")
    assert {path.name for path in place.folder.glob("r*")} == {"r-sk.html", "r-pk.html"}


@pytest.mark.parametrize(
    ("status", "settings", "arguments", "said"),
    [
        (2, "", (), "say which suite: --e4-suite on the command line, or e4_suite in the settings of pytest"),
        (4, "e4_suite = sk", ("--e4-report", "r.txt"), "a report is .json, .xml, .html"),
        (4, "e4_suite = sk", ("--e4-report", "none/r.json"), "there is no folder none"),
        (1, "e4_suite = sky", ("-k", "E4-HASH-001"), "no 'sky'; installed: "),
    ],
)
def test_what_goes_wrong_is_said(
    status: int, settings: str, arguments: tuple[str, ...], said: str, place: Place
) -> None:
    printed = place.pytest(*arguments, settings=settings, status=status)
    assert said in printed
    assert "Traceback" not in printed


def outcome(verdict: Verdict, level: Level = Level.MUST) -> Outcome:
    (requirement,) = [each for each in BOOK if each.id == ("E4-AEAD-001" if level is Level.MUST else "E4-KDF-003")]
    return Outcome(requirement, verdict, "it flickers", "Wait.", 0.0)


def test_verdicts_are_those_of_pytest() -> None:
    ends(EXAMINED, outcome(Verdict.PASSED))
    for verdict in (Verdict.FAILED, Verdict.NOT_EXERCISED):
        with pytest.raises(pytest.fail.Exception, match=f"E4-AEAD-001 {verdict.value}: it flickers"):
            ends(EXAMINED, outcome(verdict))
    with pytest.warns(RequirementWarning, match="E4-AEAD-001 warned: it flickers; do: Wait"):
        ends(EXAMINED, outcome(Verdict.WARNED))
    for skipped in (outcome(Verdict.NOT_APPLICABLE), outcome(Verdict.NOT_EXERCISED, Level.SHOULD)):
        with pytest.raises(pytest.skip.Exception, match="it flickers"):
            ends(EXAMINED, skipped)


def test_a_pytest_that_does_not_use_it_loads_nothing_of_the_kit(tmp_path: Path) -> None:
    look = "import sys\ndef test_it():\n assert [n for n in sys.modules if n.startswith('e4')] == ['e4conformance', PLUGIN]"
    (tmp_path / "test_it.py").write_text(look.replace("PLUGIN", repr(pytest_plugin.__name__)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", pytest_plugin.__name__, "-p", "no:cacheprovider", "--rootdir=."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_line(kind: str) -> None:
    source = Path(pytest_plugin.__file__).with_name("testing") / f"{kind}.py"
    assert f'test_{kind} = all_of("{kind}")' in source.read_text()
    assert f"e4_{kind}" in pytest_plugin.SUBJECTS
    assert (f"e4_{kind}_hooks" in pytest_plugin.HOOKS) is bool(KINDS[kind].hooks_name)
