# SPDX-License-Identifier: Apache-2.0
"""The runner of vector files: what it passes, and that it fails what it must."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from e4conformance.__main__ import main
from e4conformance.deviations import DEVIATIONS, UNCHECKED, Deviation, Key
from e4conformance.runner import DEVIATES, SECTIONS, Result, Verdict, run
from e4conformance.vectorfile import Big, VectorFile, own_files, read
from e4core.errors import PluginError
from e4core.suite import Suite
from tests.conformance.suites2 import suite_of

FILES = {file.name: replace(read(file), suites=suite_of) for file in own_files()}
FORMAT2 = "e4-format2.json"
"""Its entries are judged in `test_format2_vectors`."""
COUNTS = {
    "e4-pk.json": (156, 0, 7),
    "e4-sk.json": (178, 0, 6),
    "e4-state.json": (48, 0, 0),
    "e4-strict.json": (149, 0, 0),
}
"""File -> passed, failed, skipped."""
Change = Callable[[Any], Any]


def only(name: str, *sections: str) -> VectorFile:
    """A copy of one of the files; without ``sections`` whole."""
    file = FILES[name]
    chosen = {section: file.sections[section] for section in (sections or file.sections)}
    return replace(file, sections=deepcopy(chosen))


results_of = cache(lambda name: list(run(FILES[name])))
"""Of one of the files as it is."""


def failures(results: list[Result]) -> list[str]:
    return [str(result) for result in results if result.verdict is Verdict.FAILED]


def test_the_package_brings_its_files() -> None:
    assert sorted(FILES) == sorted([*COUNTS, FORMAT2])
    assert {file.kind for file in FILES.values()} == set(SECTIONS)


@pytest.mark.parametrize("name", COUNTS)
def test_each_file_passes_whole(name: str) -> None:
    results = results_of(name)
    assert failures(results) == []
    count = Counter(result.verdict for result in results)
    assert (count[Verdict.PASSED], count[Verdict.FAILED], count[Verdict.SKIPPED]) == COUNTS[name]


@pytest.mark.parametrize("name", FILES)
def test_each_section_is_known_and_each_entry_has_a_name_of_its_own(name: str) -> None:
    assert set(FILES[name].sections) <= set(SECTIONS[FILES[name].kind])
    entries = Counter((result.section, result.entry) for result in results_of(name))
    assert [entry for entry, times in entries.items() if times > 1] == []


def test_each_listed_deviation_is_met_and_nothing_else_is_skipped() -> None:
    kinds = {file.name: file.kind for file in FILES.values()}
    results = [result for name in COUNTS for result in results_of(name)]
    deviating: list[Key] = [(kinds[r.file], r.section, r.entry) for r in results if r.detail.startswith(DEVIATES)]
    skipped: list[Key] = [(kinds[r.file], r.section, r.entry) for r in results if r.verdict is Verdict.SKIPPED]
    assert sorted(deviating) == sorted(DEVIATIONS)
    assert sorted(skipped) == sorted(UNCHECKED)


def flip(value: str) -> str:
    """Another lowest bit in the middle of hex digits."""
    middle = len(value) // 2
    return value[:middle] + f"{int(value[middle], 16) ^ 1:x}" + value[middle + 1 :]


def swap(text: str) -> str:
    """Another character in the middle of base64 within a state."""
    middle = text.index('=="') - 3
    return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]


SUPPORT = {"meta", "key_pairs", "receiver_bob_state", "sk"}
"""Sections that others refer to."""
DAY: Change = lambda now: now + 86400  # noqa: E731
FLIPS: list[tuple[str, tuple[str | int, ...], Change]] = [
    ("e4-sk.json", ("meta", "payload_rule"), str.upper),
    ("e4-sk.json", ("aead", 7, "ct"), flip),
    ("e4-sk.json", ("aead", 7, "pt"), flip),
    ("e4-sk.json", ("aead_key_errors", 3, "key"), flip),
    ("e4-sk.json", ("id_from_alias", 1, "id"), flip),
    ("e4-sk.json", ("id_from_alias", 1, "receiving_topic"), str.upper),
    ("e4-sk.json", ("topic_hash", 8, "hash_of_hash"), flip),
    ("e4-sk.json", ("topic_hash", 8, "topic_repeat", "count"), lambda count: count - 1),
    ("e4-sk.json", ("protect_fixed", 4, "protected"), flip),
    ("e4-sk.json", ("protect_fixed", 4, "payload"), flip),
    ("e4-sk.json", ("protect_fixed", 11, "protected_sha256"), flip),
    ("e4-sk.json", ("protect_fixed", 11, "protected_len"), lambda length: length + 1),
    ("e4-sk.json", ("protect_live", 11, "unprotect", "returned_tail80"), flip),
    ("e4-sk.json", ("unprotect", 0, "protected"), flip),
    ("e4-sk.json", ("unprotect", 0, "returned"), flip),
    ("e4-sk.json", ("unprotect", 0, "now_before"), DAY),
    ("e4-sk.json", ("unprotect", 12, "kind"), lambda _kind: "bad_length"),
    ("e4-sk.json", ("unprotect", 12, "result"), lambda _result: "ok"),
    ("e4-sk.json", ("unprotect", 12, "result"), lambda _result: "perhaps"),
    ("e4-sk.json", ("commands_fixed", 0, "command"), flip),
    ("e4-sk.json", ("command_sequence", "steps", 2, "protected"), flip),
    ("e4-sk.json", ("command_sequence", "steps", 2, "state_after", "ReceivingTopic"), str.upper),
    ("e4-sk.json", ("command_negatives", "client"), str.upper),
    ("e4-pk.json", ("key_pairs", 0, "x25519_private"), flip),
    ("e4-pk.json", ("key_pairs", 0, "x25519_public"), flip),
    ("e4-pk.json", ("shared_keys", 5, "shared_point"), flip),
    ("e4-pk.json", ("shared_keys", 5, "shared_key"), flip),
    ("e4-pk.json", ("sign", 1, "signed"), flip),
    ("e4-pk.json", ("create_errors", 0, "error"), lambda _text: "<nil>"),
    ("e4-pk.json", ("command_negatives", "steps", 28, "protected"), flip),
    ("e4-state.json", ("sk", "start_text"), swap),
    ("e4-state.json", ("sk", "steps", 4, "file_text_after"), swap),
    ("e4-state.json", ("pk", "ed25519_public"), flip),
    ("e4-state.json", ("pk", "transition_unprotect", 1, "returned"), flip),
    ("e4-state.json", ("old_key_ages", 2, "now_before"), DAY),
    ("e4-state.json", ("load", 0, "text"), lambda text: text[:-1]),
    ("e4-state.json", ("file_store_shrink", "file_text_before_len"), lambda length: length - 1),
    (FORMAT2, ("topic_hashes", 1, "hash"), flip),
    (FORMAT2, ("sessions", 1, "start"), lambda start: start + 1),
    (FORMAT2, ("sealed_messages", 1, "protected"), flip),
    (FORMAT2, ("sealed_messages", 6, "protected_sha256"), flip),
    (FORMAT2, ("sealed_messages", 1, "key_info"), flip),
    (FORMAT2, ("sealed_commands", 1, "salt"), flip),
    (FORMAT2, ("sealed_commands", 3, "protected"), flip),
    (FORMAT2, ("receiving", 0, "steps", 0, "protected"), flip),
    (FORMAT2, ("receiving", 0, "steps", 7, "kind"), lambda _kind: "epoch_unknown"),
    (FORMAT2, ("epochs", 0, "steps", 1, "reports", 0, "digest"), flip),
    (FORMAT2, ("epochs", 0, "steps", 2, "epoch"), lambda epoch: epoch + 1),
    (FORMAT2, ("own_keys", 0, "steps", 1, "reports", 0, "reader"), lambda _name: "old"),
    (FORMAT2, ("reports", 0, "steps", 0, "reports"), lambda reports: [*reports, reports[0]]),
    (FORMAT2, ("reports", 1, "steps", 10, "time_ms"), DAY),
    ("e4-strict.json", ("message_replay", 0, "steps", 1, "kind"), lambda _kind: "timestamp_old"),
    ("e4-strict.json", ("message_replay", 0, "steps", 1, "now"), DAY),
    ("e4-strict.json", ("reports", 0, "steps", 0, "report"), flip),
    ("e4-strict.json", ("restarts", 0, "steps", 0, "after", "mark"), lambda mark: mark + 1),
]


@pytest.mark.parametrize(("name", "path", "change"), FLIPS, ids=[f"{n} {' '.join(map(str, p))}" for n, p, _ in FLIPS])
def test_a_changed_vector_fails(name: str, path: tuple[str | int, ...], change: Change) -> None:
    file = only(name, *(SUPPORT & set(FILES[name].sections)), str(path[0]))
    place: Any = file.sections
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = change(place[path[-1]])
    assert any(f": {path[0]}: " in failure for failure in failures(list(run(file))))


ZERO_KEY: Key = ("sk", "command_negatives", "SetTopicKey all zero key")
GOOD: Key = ("sk", "command_sequence", "SetTopicKey demoTopic")


@pytest.mark.parametrize(
    ("key", "deviation", "complaint"),
    [
        (ZERO_KEY, None, "result is error, not ok"),
        (ZERO_KEY, Deviation({"result": "error", "kind": "not_authentic"}, "a wrong kind"), "kind is bad_key"),
        (ZERO_KEY, Deviation({"result": "error", "kind": "bad_key", "state": {}}, "too much"), "state is"),
        (GOOD, Deviation({"result": "error", "kind": "bad_key"}, "it is obeyed"), "result is ok, not error"),
        (GOOD, Deviation({"result": "ok"}, "as the vector has it"), "the vector agrees in result"),
    ],
    ids=["not listed", "wrong kind", "too much", "not so", "agrees"],
)
def test_a_wrong_list_of_deviations_fails(key: Key, deviation: Deviation | None, complaint: str) -> None:
    listed = {other: value for other, value in DEVIATIONS.items() if other != key}
    file = only("e4-sk.json", key[1])
    results = list(run(file, listed if deviation is None else {**listed, key: deviation}))
    (failed,) = [result for result in results if result.verdict is Verdict.FAILED]
    assert failed.entry == key[2]
    assert complaint in failed.detail


def test_what_cannot_be_checked_must_be_listed() -> None:
    file = only("e4-sk.json", "key_from_password")
    assert len(failures(list(run(file, unchecked={})))) == len(file.sections["key_from_password"])


def test_what_can_be_checked_must_not_be_listed_as_unchecked() -> None:
    file = only("e4-sk.json", "aead")
    (failed,) = failures(list(run(file, unchecked={("sk", "aead", "number 3"): "out of laziness"})))
    assert "take it off the list" in failed


@pytest.mark.parametrize("value", [None, 7, "text", [{}], {"steps": [1]}, [{"name": "no fields"}]])
@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("e4-sk.json", "unprotect"),
        ("e4-pk.json", "command_sequence"),
        ("e4-state.json", "sk"),
        ("e4-strict.json", "sending"),
        (FORMAT2, "sending"),
        (FORMAT2, "sealed_messages"),
    ],
)
def test_a_section_of_the_wrong_form_fails_and_ends_nothing(name: str, section: str, value: Any) -> None:
    file = only(name, section, *(SUPPORT & set(FILES[name].sections)))
    results = list(run(replace(file, sections={**file.sections, section: value})))
    assert [result.section for result in results if result.verdict is Verdict.FAILED].count(section) == 1
    assert {result.section for result in results} == set(file.sections)


def test_a_big_value_is_compared_in_all_its_parts() -> None:
    whole = Big.of(bytes(3000))
    assert whole == Big(3000, whole.sha256, "00" * 24, "00" * 80)
    assert whole != Big.of(bytes(2999) + b"\x01")


def test_what_needs_a_suite_that_is_not_installed_is_skipped_by_name() -> None:
    def none_of_format_2(name: str) -> Suite:
        raise PluginError(f"no suite {name} here")

    results = list(run(replace(FILES[FORMAT2], suites=none_of_format_2)))
    ran = [result for result in results if result.verdict is not Verdict.SKIPPED]
    assert {result.section for result in ran} == {"meta"}
    assert {result.detail for result in results if result not in ran} >= {"no suite fips-sk here", "no suite pq here"}


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "e4conformance", "vectors", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def saved(folder: Path, name: str, change: Change) -> str:
    path = folder / name
    path.write_text(json.dumps(change(only(name).sections)))
    return str(path)


def test_a_run_ends_with_the_counts_alone_and_status_0(tmp_path: Path) -> None:
    ended = cli(saved(tmp_path, "e4-state.json", lambda sections: sections))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "48 passed, 0 failed"


def test_the_counts_of_all_files_are_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [saved(tmp_path, name, lambda sections: sections) for name in ("e4-sk.json", "e4-state.json")]
    assert main(["vectors", *paths]) == 0
    skipped, total = capsys.readouterr().out.splitlines()[-2:]
    assert (skipped, total) == ("6 skipped, each named above with the reason", "226 passed, 0 failed")


def test_a_failure_is_named_and_gives_status_1(tmp_path: Path) -> None:
    path = saved(tmp_path, "e4-state.json", lambda s: s["load"][0].update(returned="00") or s)
    ended = cli(path)
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "47 passed, 1 failed"
    assert "failed: e4-state.json: load: minimal sk: returned is 65342f78, not 00" in ended.stdout.splitlines()


def test_unknown_sections_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, "e4-state.json", lambda sections: {**sections, "yet_to_come": [], "another": {}})
    assert main(["vectors", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "e4-state.json: 2 unknown sections, not checked: another, yet_to_come" in lines
    assert lines[-2:] == ["2 skipped, each named above with the reason", "48 passed, 0 failed"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no vector file"),
        ("{}", "is no vector file"),
        ('{"meta": {"what": ["e4go public-key mode"]}}', "is no vector file"),
    ],
    ids=["missing", "cut short", "deep", "a list", "without meta", "odd meta"],
)
def test_a_bad_file_is_one_line_and_status_2(
    tmp_path: Path, content: str | None, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vectors.json"
    if content is not None:
        path.write_text(content)
    assert main(["vectors", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("error: ")
    assert complaint in line
