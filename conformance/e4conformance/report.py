# SPDX-License-Identifier: Apache-2.0
"""What is published of a run: JSON of a versioned schema (`report.schema.json`), and JUnit for those who gather tests."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from xml.etree import ElementTree as ET

from e4conformance.kit import Outcome, Verdict, conforms, summary

SCHEMA_VERSION = 1
"""Goes up when a reader of the former could misunderstand the new."""


@dataclass(frozen=True, slots=True)
class Report:
    """Of one run. ``subject``: as it was named; ``about``: of what it consists (versions of libraries, of a token, of firmware)."""

    kind: str
    subject: str
    about: Mapping[str, str]
    declared: tuple[str, ...]
    seed: int
    started: str
    """UTC, RFC 3339."""
    outcomes: tuple[Outcome, ...]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "schema": SCHEMA_VERSION,
            "kit": version("e4"),
            "kind": self.kind,
            "subject": self.subject,
            "about": {**self.about, "python": platform.python_version(), "platform": platform.platform()},
            "declared": list(self.declared),
            "seed": self.seed,
            "started": self.started,
            "conforms": conforms(self.outcomes),
            "summary": summary(self.outcomes),
            "requirements": [_entry(outcome) for outcome in self.outcomes],
        }

    def json(self) -> str:
        return json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"

    def junit(self) -> str:
        """Requirements as test cases. What is in the way of conforming is a failure; other verdicts but passed are skipped."""
        suite = ET.Element(
            "testsuite",
            name=f"e4 conformance {self.kind} {self.subject}",
            timestamp=self.started,
            tests=str(len(self.outcomes)),
            failures=str(sum(outcome.is_in_the_way for outcome in self.outcomes)),
            skipped=str(sum(_is_skipped(outcome) for outcome in self.outcomes)),
        )
        for outcome in self.outcomes:
            _case(suite, self.kind, outcome)
        ET.indent(suite)
        return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _entry(outcome: Outcome) -> dict[str, Any]:
    requirement = outcome.requirement
    return {
        "id": requirement.id,
        "level": requirement.level.value,
        "says": requirement.says,
        "source": requirement.source,
        "needs": requirement.needs,
        "verdict": outcome.verdict.value,
        "detail": outcome.detail,
        "advice": requirement.advice if outcome.verdict in (Verdict.FAILED, Verdict.WARNED) else "",
        "seconds": round(outcome.seconds, 3),
    }


def _case(suite: ET.Element, kind: str, outcome: Outcome) -> None:
    requirement = outcome.requirement
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"e4.{kind}",
        name=f"{requirement.id} {requirement.says}",
        time=f"{outcome.seconds:.3f}",
    )
    if outcome.is_in_the_way:
        failure = ET.SubElement(case, "failure", message=f"{outcome.verdict.value}: {outcome.detail}")
        failure.text = f"{requirement.source}\n{requirement.advice}"
    elif _is_skipped(outcome):
        ET.SubElement(case, "skipped", message=f"{outcome.verdict.value}: {outcome.detail}")


def _is_skipped(outcome: Outcome) -> bool:
    return outcome.verdict is not Verdict.PASSED and not outcome.is_in_the_way
