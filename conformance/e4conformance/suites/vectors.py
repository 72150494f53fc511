# SPDX-License-Identifier: Apache-2.0
"""The vectors of this package for the wire name of a suite: single messages and commands, and whole stories of devices."""

from __future__ import annotations

from dataclasses import replace

from e4conformance import runner
from e4conformance.requirement import NotExercised, Unmet
from e4conformance.suites.entries import files
from e4conformance.suites.subject import SUITES, SuiteSubject
from e4core.plugins import load_suite
from e4core.suite import Suite

_ADVICE = (
    "Run `python -m e4conformance vectors` and compare the named entry, byte for byte, with format2.md or wire.md."
)


def checked(subject: SuiteSubject, group: str) -> None:
    """Raises: Unmet: with the first entries that are not as they should be. NotExercised: the vectors have none."""
    wire_name = subject.suite.wire_name
    own = replace(subject.suite, name=wire_name)

    def suite(name: str) -> Suite:
        return own if name == wire_name else load_suite(name)

    chosen = [replace(file, suites=suite) for file in files(wire_name, group)]
    results = [result for file in chosen for result in runner.run(file)]
    judged = [each for each in results if each.verdict is not runner.Verdict.SKIPPED]
    if not judged:
        raise NotExercised(f"the vectors have nothing of the wire name {wire_name}")
    failed = [each for each in judged if each.verdict is runner.Verdict.FAILED]
    if failed:
        first = failed[0]
        raise Unmet(f"{len(failed)} of {len(judged)}: {first.section}: {first.entry}: {first.detail}")


@SUITES.must(
    "E4-VEC-101",
    "Hashes, ids, keys and single primitives are those of the vectors of the wire name.",
    source="wire.md section 14; format2.md section 12",
    advice=_ADVICE,
    needs="vectors-primitives",
)
def primitives(subject: SuiteSubject) -> None:
    checked(subject, "primitives")


@SUITES.must(
    "E4-VEC-102",
    "Messages are those of the vectors of the wire name, byte for byte where they are not random.",
    source="wire.md section 14; format2.md section 12",
    advice=_ADVICE,
    needs="vectors-messages",
)
def messages(subject: SuiteSubject) -> None:
    checked(subject, "messages")


@SUITES.must(
    "E4-VEC-103",
    "Commands and reports are those of the vectors of the wire name, byte for byte where they are not random.",
    source="wire.md section 14; format2.md section 12",
    advice=_ADVICE,
    needs="vectors-commands",
)
def commands(subject: SuiteSubject) -> None:
    checked(subject, "commands")


@SUITES.must(
    "E4-VEC-104",
    "Devices on the suite live through the stories of the vectors as they are told.",
    source="format2.md section 12; wire.md section 13",
    advice=_ADVICE,
    needs="vectors-stories",
)
def stories(subject: SuiteSubject) -> None:
    checked(subject, "stories")
