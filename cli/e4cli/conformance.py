# SPDX-License-Identifier: Apache-2.0
"""``e4 conformance``: is a suite, a KMS driver, a transport or a port right? A verdict, and what is in the way."""

from __future__ import annotations

import faulthandler
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from e4cli.output import Output, OutputOption, draw, remark, show_record, show_rows, table_box, visible
from e4cli.progress import progress
from e4core.errors import StorageError

if TYPE_CHECKING:
    from e4conformance.kit import Outcome
    from e4conformance.report import Report
    from e4conformance.requirement import Requirement

_MORE_S = 30.0
"""What a check gets at most beyond its deadline, before the process is ended."""
_LOG = logging.getLogger(__name__)
app = typer.Typer(
    no_args_is_help=True,
    help="Prove a suite, a KMS driver, a transport or a port. Status 0: it conforms; 1: it does not; others: not examined.",
)


class Kind(StrEnum):
    """What can be examined."""

    SUITE = "suite"
    KMS = "kms"
    TRANSPORT = "transport"
    PORT = "port"


def _suites() -> list[str]:
    from e4core.plugins import SUITES, names

    return names(SUITES)


OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", metavar="ID", help="Only this requirement; may be given several times.")
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="N", help="Check the same samples again; without it, others.")
]
HooksOption = Annotated[
    str, typer.Option("--hooks", metavar="MODULE:NAME", help="What makes its faults, where checks need some.")
]
DeadlineOption = Annotated[
    float,
    typer.Option(
        "--deadline", min=0.1, max=86_400, metavar="S", help="Seconds for one requirement; one that takes longer fails."
    ),
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON.")]
JunitOption = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the report as one page.")]


@app.command()
def suite(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An installed suite.", autocompletion=_suites)],
    only: OnlyOption = None,
    seed: SeedOption = None,
    deadline: DeadlineOption = 600,
    json: JsonOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Examine a suite."""
    _examine(Kind.SUITE, name, "", only, seed, deadline, (json, junit, html), output)


@app.command()
def kms(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Of a KMS with a key for tests.")],
    hooks: HooksOption = "",
    only: OnlyOption = None,
    seed: SeedOption = None,
    deadline: DeadlineOption = 600,
    json: JsonOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Examine a KMS driver, on a KMS that nobody else uses."""
    _examine(Kind.KMS, uri, hooks, only, seed, deadline, (json, junit, html), output)


@app.command()
def transport(
    uri: Annotated[str, typer.Argument(metavar="URI", help="As of a broker.")],
    hooks: HooksOption = "",
    only: OnlyOption = None,
    seed: SeedOption = None,
    deadline: DeadlineOption = 600,
    json: JsonOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Examine a transport, on a broker that nobody else uses."""
    _examine(Kind.TRANSPORT, uri, hooks, only, seed, deadline, (json, junit, html), output)


@app.command()
def port(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A command, tcp://HOST:PORT or serial:/dev/...")],
    only: OnlyOption = None,
    seed: SeedOption = None,
    deadline: DeadlineOption = 600,
    json: JsonOption = None,
    junit: JunitOption = None,
    html: HtmlOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Examine a device implementation in any language, that speaks the port protocol."""
    _examine(Kind.PORT, target, "", only, seed, deadline, (json, junit, html), output)


@app.command("list")
def list_(
    kind: Annotated[
        Kind | None, typer.Argument(metavar="KIND", help="suite, kms, transport or port; else all.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the requirements, and where each stands."""
    from e4conformance.kinds import KINDS

    found = [(each, requirement) for each in ([kind] if kind else Kind) for requirement in KINDS[each].book]
    rows = (
        {
            "id": requirement.id,
            "kind": each.value,
            "level": requirement.level.value,
            "says": requirement.says,
            "source": requirement.source,
            "needs": requirement.needs,
        }
        for each, requirement in found
    )
    show_rows(output, list(rows))


def _examine(
    kind: Kind,
    target: str,
    hooks: str,
    only: list[str] | None,
    seed: int | None,
    deadline_s: float,
    files: Sequence[Path | None],
    output: Output,
) -> None:
    """Raises: typer.Exit: it does not conform."""
    from e4conformance.examination import examination, fresh_seed
    from e4conformance.kinds import KINDS

    _require_folders(files)
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)
    seed = fresh_seed() if seed is None else seed
    with _quiet(), progress(f"seed {seed}") as advance:

        def watch(so_far: Report, of: int, following: Requirement[Any]) -> None:
            advance(len(so_far.outcomes) - 1, of, f"{following.id} {following.says}")
            _LOG.info("%s %s", following.id, following.says)
            _write(files, so_far)  # what is left if native code ends the process
            if sys.__stderr__ is not None:  # or never comes back to Python, which alone can be interrupted
                faulthandler.dump_traceback_later(deadline_s + min(deadline_s, _MORE_S), exit=True, file=sys.__stderr__)

        report = examination(KINDS[kind], target, watch, seed=seed, hooks=hooks, only=only or (), limit_s=deadline_s)
    _write(files, report)
    _show(output, report)
    if not report.conforms:
        raise typer.Exit(1)  # still under the deadline: threads that hang would keep the process from its end
    faulthandler.cancel_dump_traceback_later()


def _write(files: Sequence[Path | None], report: Report) -> None:
    """Raises: StorageError."""
    from e4conformance.report import Report, save

    for path, form in zip(files, (Report.json, Report.junit, Report.html), strict=True):
        if path:
            save(path, form(report))


def _require_folders(files: Sequence[Path | None]) -> None:
    """Before the run, which takes a while."""
    for path in filter(None, files):
        if not path.parent.is_dir():
            raise StorageError(f"the report {path} cannot be written: there is no folder {path.parent}")


@contextmanager
def _quiet() -> Iterator[None]:
    """What a driver logs while it is treated badly is not for people, unless they ask for it."""
    root = logging.getLogger()
    levels = {handler: handler.level for handler in root.handlers} if root.level > logging.INFO else {}
    for handler in levels:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in levels.items():
            handler.setLevel(level)


def _show(output: Output, report: Report) -> None:
    if output is Output.JSON:
        show_record(output, report.document())
        return
    if output is Output.CSV:
        show_rows(output, report.document()["requirements"])
        return
    from e4conformance.kit import Verdict, summary

    told = (Verdict.FAILED, Verdict.WARNED, Verdict.NOT_EXERCISED)
    if found := [outcome for outcome in report.outcomes if outcome.verdict in told]:
        _show_findings(found)
    if report.begin_with:
        remark(f"begin with {report.begin_with}: what comes after it may follow from it")
    outside = [outcome for outcome in report.outcomes if outcome.verdict is Verdict.NOT_APPLICABLE]
    if outside:
        missing = ", ".join(sorted({outcome.requirement.needs or "" for outcome in outside}))
        remark(f"not applicable: what needs a capability that is not declared: {missing}")
    if noted := [outcome.requirement.id for outcome in report.outcomes if outcome.note]:
        remark(f"passed in part, a report says which: {', '.join(noted)}")
    _show_verdict(report, summary(report.outcomes))


def _show_findings(found: Sequence[Outcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=table_box(), pad_edge=False, show_edge=False)
    for head in ("requirement", "verdict", "what holds, what was seen, and what to do"):
        table.add_column(head, overflow="fold", no_wrap=head == "requirement")
    for outcome in found:
        style = "bold red" if outcome.is_in_the_way else "yellow"
        table.add_row(
            Text(outcome.requirement.id),
            Text(f"{outcome.verdict.value}\n({outcome.requirement.level.value})", style),
            Text("\n").join(_told(outcome)),
        )
    draw(table, coloured=True)


def _told(outcome: Outcome) -> list[Any]:
    from rich.text import Text

    requirement = outcome.requirement
    return [
        Text(visible(requirement.says)),
        *(Text(visible(line), "dim") for line in outcome.detail.splitlines()),
        Text(f"do: {visible(outcome.advice)}", "bold"),
        Text(f"see: {visible(requirement.source)}", "dim"),
    ]


def _show_verdict(report: Report, counts: str) -> None:
    from rich.text import Text

    style = "bold green" if report.conforms else "bold red"
    draw(
        Text.assemble(f"{visible(report.subject)}: {counts}; ", (report.verdict, style), f" (seed {report.seed})"),
        coloured=True,
    )
