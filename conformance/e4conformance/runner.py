# SPDX-License-Identifier: Apache-2.0
"""Runs the checks of vector files and counts how they end."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeVar

from e4conformance import commands, format2, messages, primitives, sealed2, statefiles, strict
from e4conformance.deviations import DEVIATIONS, UNCHECKED, Deviation, Key
from e4conformance.vectorfile import Big, Check, Facets, Section, VectorFile

SECTIONS: dict[str, dict[str, Section]] = {
    "sk": {
        "meta": primitives.meta,
        "aead": primitives.aead,
        "aead_key_errors": primitives.aead_key_errors,
        "command_negatives": commands.command_steps,
        "command_sequence": commands.command_steps,
        "command_unprotect": commands.command_unprotect,
        "commands_fixed": commands.commands_fixed,
        "id_from_alias": primitives.id_from_alias,
        "key_from_password": primitives.key_from_password,
        "protect_fixed": messages.protect_fixed,
        "protect_live": messages.protect_live,
        "protect_unknown_topic_error": messages.protect_unknown_topic_error,
        "topic_hash": primitives.topic_hash,
        "unprotect": messages.unprotect,
    },
    "pk": {
        "meta": primitives.meta,
        "command_negatives": commands.command_steps,
        "command_sequence": commands.command_steps,
        "commands_fixed": commands.commands_fixed,
        "create_errors": primitives.create_errors,
        "key_from_password": primitives.key_from_password,
        "key_pairs": primitives.key_pairs,
        "odd_public_keys": primitives.odd_public_keys,
        "protect_fixed": messages.protect_fixed,
        "protect_live": messages.protect_live,
        "receiver_bob_state": messages.receiver_bob_state,
        "shared_keys": primitives.shared_keys,
        "sign": primitives.sign,
        "sign_errors": primitives.sign_errors,
        "state_with_low_order_c2key_reload": statefiles.low_order_c2_key,
        "unprotect": messages.unprotect,
    },
    "state": {
        "meta": primitives.meta,
        "file_store_shrink": statefiles.file_store_shrink,
        "load": statefiles.loading,
        "old_key_ages": messages.old_key_ages,
        "pk": commands.saved_steps,
        "sk": commands.saved_steps,
        "with_receiving_topic_saved_text_after_a_command": statefiles.topic_after_command,
        "with_receiving_topic_saved_text_right_after_creation": statefiles.topic_after_creation,
    },
    "strict": {
        "meta": primitives.meta,
        "message_replay": strict.scenarios,
        "command_order": strict.scenarios,
        "clock_skew": strict.scenarios,
        "restarts": strict.scenarios,
        "previous_keys": strict.scenarios,
        "refused_commands": strict.scenarios,
        "refused_states": strict.scenarios,
        "sending": strict.scenarios,
        "reports": strict.scenarios,
    },
    "format2": {
        "meta": primitives.meta,
        "topic_hashes": sealed2.topic_hashes,
        "sessions": sealed2.sessions,
        "sealed_messages": sealed2.sealed_messages,
        "sealed_commands": sealed2.sealed_commands,
        "read_reports": sealed2.reports,
        "refused_reports": sealed2.reports,
        "receiving": format2.stories,
        "validity": format2.stories,
        "replays": format2.stories,
        "restarts": format2.stories,
        "sending": format2.stories,
        "command_order": format2.stories,
        "refused_containers": format2.stories,
        "refused_commands": format2.stories,
        "epochs": format2.stories,
        "own_keys": format2.stories,
        "public_keys": format2.stories,
        "reports": format2.stories,
        "two_signatures": format2.stories,
    },
}
"""Kind of file -> section -> what makes its checks."""


WHOLE = "the whole section"
DEVIATES = "deviates as listed"
SHOWN = 200
"""Characters of a value that are shown when it is wrong."""

T = TypeVar("T")


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """How one check ended; ``detail`` says why, unless it passed as the vector has it."""

    file: str
    section: str
    entry: str
    verdict: Verdict
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.verdict.value}: {self.file}: {self.section}: {self.entry}: {self.detail}"


def run(
    file: VectorFile,
    deviations: Mapping[Key, Deviation] = DEVIATIONS,
    unchecked: Mapping[Key, str] = UNCHECKED,
) -> Iterator[Result]:
    """Results of all sections of ``file``; an unknown section is one skipped result."""
    table = SECTIONS[file.kind]
    for section in sorted(file.sections):
        if section not in table:
            yield Result(file.name, section, WHOLE, Verdict.SKIPPED, "unknown section")
            continue
        checks = _guarded(partial(_checks, table[section], file, section))
        if isinstance(checks, _Broken):
            yield Result(file.name, section, WHOLE, Verdict.FAILED, checks.text)
            continue
        for check in checks:
            key = (file.kind, section, check.entry)
            verdict, detail = _judge(check, deviations.get(key), unchecked.get(key))
            yield Result(file.name, section, check.entry, verdict, detail)


def unknown_sections(file: VectorFile) -> list[str]:
    """Sections that nothing here can check."""
    return sorted(set(file.sections) - set(SECTIONS[file.kind]))


def summary(results: list[Result]) -> str:
    """The line that ends a run."""
    count = Counter(result.verdict for result in results)
    return f"{count[Verdict.PASSED]} passed, {count[Verdict.FAILED]} failed"


def skipped(results: list[Result]) -> int:
    """How many could not be checked."""
    return sum(result.verdict is Verdict.SKIPPED for result in results)


def _checks(section: Section, file: VectorFile, name: str) -> list[Check]:
    return list(section(file, file.sections[name]))


def _judge(check: Check, deviation: Deviation | None, unchecked: str | None) -> tuple[Verdict, str]:
    if check.missing:
        return Verdict.SKIPPED, check.missing
    if check.observe is None:
        return (
            (Verdict.SKIPPED, unchecked) if unchecked else (Verdict.FAILED, "cannot be checked, and is not listed so")
        )
    if unchecked:
        return Verdict.FAILED, "listed as unchecked, but it can be checked; take it off the list"
    observed = _guarded(check.observe)
    if isinstance(observed, _Broken):
        return Verdict.FAILED, observed.text
    if deviation is None:
        wrong = differences(check.expected, observed)
        return (Verdict.FAILED, wrong) if wrong else (Verdict.PASSED, "")
    wrong = differences(_due(check.expected, deviation.ours), observed)
    if wrong:
        return Verdict.FAILED, f"listed as a deviation, but {wrong}"
    agreeing = [
        name for name, ours in deviation.ours.items() if name in check.expected and check.expected[name] == ours
    ]
    if agreeing:
        return Verdict.FAILED, f"listed as a deviation, but the vector agrees in {', '.join(agreeing)}"
    return Verdict.PASSED, f"{DEVIATES}: {deviation.reason}"


def _due(vector: Facets, ours: Facets) -> Facets:
    """What must happen: as the vector has it, but for what is listed."""
    due = {**vector, **ours}
    void = "returned" if due.get("result") == "error" else "kind"
    return {name: value for name, value in due.items() if name != void}


def differences(expected: Facets, observed: Facets) -> str:
    return "; ".join(
        f"{name} is {_short(observed.get(name))}, not {_short(value)}"
        for name, value in expected.items()
        if not _equal(value, observed.get(name))
    )


def _equal(expected: object, observed: object) -> bool:
    if isinstance(expected, Big) and isinstance(observed, bytes):
        return expected == Big.of(observed)
    return type(expected) is type(observed) and expected == observed


def _short(value: object) -> str:
    text = value.hex() or "empty" if isinstance(value, bytes) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


@dataclass(frozen=True, slots=True)
class _Broken:
    """An exception that no check expects."""

    text: str


def _guarded(act: Callable[[], T]) -> T | _Broken:
    """The border between the runner and what it examines: whatever that raises is a failed check, never the end of the run."""
    try:
        return act()
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return _Broken(f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line {frame.lineno})")
