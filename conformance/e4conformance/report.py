# SPDX-License-Identifier: Apache-2.0
"""What is published of a run: JSON of a versioned schema (`report.schema.json`), a page, and JUnit for those who gather tests."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from e4conformance import junit, page
from e4conformance.kit import Outcome, conforms, summary
from e4core.errors import StorageError

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
    complete: bool
    """Whether no requirement of the book was left out."""

    @property
    def conforms(self) -> bool:
        return conforms(self.outcomes)

    @property
    def begin_with(self) -> str:
        """The id of what to mend first: parts are checked before what is made of them. Empty: there is not more than one."""
        found = [outcome.requirement.id for outcome in self.outcomes if outcome.is_in_the_way]
        return found[0] if len(found) > 1 else ""

    @property
    def verdict(self) -> str:
        """In words; part of the requirements is no proof, whatever comes of them."""
        if not self.conforms:
            return "does not conform"
        return "conforms" if self.complete else "passes what was checked"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "schema": SCHEMA_VERSION,
            "kit": version("e4core"),
            "kind": self.kind,
            "subject": self.subject,
            "about": {
                **self.about,
                "python": platform.python_version(),
                "platform": f"{platform.system()} {platform.machine()}",
            },
            "declared": list(self.declared),
            "seed": self.seed,
            "started": self.started,
            "complete": self.complete,
            "conforms": self.conforms,
            "verdict": self.verdict,
            "summary": summary(self.outcomes),
            "requirements": [_entry(outcome) for outcome in self.outcomes],
        }

    def json(self) -> str:
        return json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"

    def junit(self) -> str:
        return junit.written(self.document())

    def html(self) -> str:
        return page.written(self.document())


FORMS: Mapping[str, Callable[[Report], str]] = {".json": Report.json, ".xml": Report.junit, ".html": Report.html}
"""What a file of this suffix has in it."""


def save(path: Path, text: str) -> None:
    """Raises: StorageError."""
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StorageError(f"the report {path} cannot be written: {error.strerror}") from error


def _entry(outcome: Outcome) -> dict[str, Any]:
    requirement = outcome.requirement
    return {
        "id": requirement.id,
        "level": requirement.level.value,
        "says": requirement.says,
        "source": requirement.source,
        "needs": requirement.needs,
        "verdict": outcome.verdict.value,
        "in_the_way": outcome.is_in_the_way,
        "detail": outcome.detail,
        "advice": outcome.advice,
        "note": outcome.note,
        "seconds": round(outcome.seconds, 3),
    }
