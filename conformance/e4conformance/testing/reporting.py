# SPDX-License-Identifier: Apache-2.0
"""``--e4-report FILE``: what the tests found, as a report; with pytest-xdist, of what all its processes found."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from e4conformance.examination import now
from e4conformance.kinds import KINDS
from e4conformance.kit import Outcome, Verdict, summary
from e4conformance.report import FORMS, Report, save
from e4conformance.testing.requirements import OUTCOME

_NOT_OF_NAMES = str.maketrans(dict.fromkeys('/\\:?*"<>| ', "-"))


class Reporting:
    """Gathers what reports of tests carry, as plain values: they may come from another process."""

    def __init__(self, path: str) -> None:
        """Raises: pytest.UsageError: no report can be there."""
        self._path = Path(path)
        self._started = now()
        self._found: list[dict[str, Any]] = []
        if self._path.suffix not in FORMS:
            raise pytest.UsageError(f"--e4-report {path}: a report is {', '.join(FORMS)}")
        if not self._path.parent.is_dir():
            raise pytest.UsageError(f"--e4-report {path}: there is no folder {self._path.parent}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "call" and (found := item.stash.get(OUTCOME, None)):
            examined, outcome = found
            report.e4 = {  # type: ignore[attr-defined]
                "kind": examined.kind,
                "subject": examined.target,
                "seed": examined.seed,
                "about": dict(examined.about),
                "declared": sorted(examined.subject.declared),
                "id": outcome.requirement.id,
                "verdict": outcome.verdict.value,
                "detail": outcome.detail,
                "advice": outcome.advice,
                "seconds": outcome.seconds,
                "note": outcome.note,
            }
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if found := getattr(report, "e4", None):
            self._found.append(found)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Called where the whole run is known, and only there."""
        reports = list(self._reports())
        for report in reports:
            path = self._path if len(reports) == 1 else self._path_for(report)
            save(path, FORMS[path.suffix](report))
            counts = f"{summary(report.outcomes)}; {report.verdict} (seed {report.seed})"
            terminalreporter.write_line(f"{report.subject}: {counts}: {path}")

    def _path_for(self, report: Report) -> Path:
        return self._path.with_name(f"{self._path.stem}-{report.subject.translate(_NOT_OF_NAMES)}{self._path.suffix}")

    def _reports(self) -> Iterator[Report]:
        found = sorted(self._found, key=_of_run)
        for (kind, subject), entries in groupby(found, key=_of_run):
            book, of_run = KINDS[kind].book, {entry["id"]: entry for entry in entries}
            outcomes = tuple(_outcome(each, of_run[each.id]) for each in book if each.id in of_run)
            last = next(iter(of_run.values()))
            declared, is_complete = tuple(last["declared"]), len(outcomes) == len(book)
            yield Report(kind, subject, last["about"], declared, last["seed"], self._started, outcomes, is_complete)


def _of_run(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry["kind"], entry["subject"]


def _outcome(requirement: Any, entry: Mapping[str, Any]) -> Outcome:
    told = (entry["detail"], entry["advice"], entry["seconds"], entry["note"])
    return Outcome(requirement, Verdict(entry["verdict"]), *told)
