# SPDX-License-Identifier: Apache-2.0
"""``e4 audit``: who did or tried what, and whether somebody has tampered with what tells of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from e4cli import cef
from e4cli.api_client import Api
from e4cli.asking import (
    LimitOption,
    YesOption,
    lists,
    make_sure,
    reports,
    shows,
)
from e4cli.connection import DEFAULT_URL
from e4cli.output import Output, OutputOption, Row, Stream, StreamOption, remark, show_record, write_bytes
from e4cli.progress import progress
from e4cli.reaching import CaOption, ProfileOption, TokenFileOption, UrlOption, open_api
from e4cli.serve import ConfigOption, server_extra
from e4core.errors import InvalidInput

if TYPE_CHECKING:
    from e4c2.audit.signing import Checkpoint, PublicKey

app = typer.Typer(no_args_is_help=True, help="See who did or tried what, and prove that nobody has tampered with it.")


class Format(StrEnum):
    """Of an export."""

    JSONL = "jsonl"
    CEF = "cef"


KeyOption = Annotated[
    str | None,
    typer.Option(
        "--public-key",
        metavar="KEY",
        envvar="E4_AUDIT_KEY",
        help="Who signs, as e4 audit key has shown it when all was well.",
    ),
]
WitnessedOption = Annotated[
    Path | None, typer.Option("--witnessed", metavar="FILE", help="What e4 audit witness has kept elsewhere.")
]


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no date, as 2027-01-31 or 2027-01-31T12:00:00+00:00") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


PrincipalOption = Annotated[str | None, typer.Option(metavar="KIND/ID", help="Only what this one did or tried.")]
ActionOption = Annotated[str | None, typer.Option(help="Only this, as topics_rotate.")]
ObjectOption = Annotated[str | None, typer.Option("--object", metavar="KIND:ID", help="Only what is about this.")]
OutcomeOption = Annotated[str | None, typer.Option(help="Only with this outcome: done, or the kind of an error.")]
SinceOption = Annotated[float | None, typer.Option(parser=_moment, metavar="DATE", help="From then on, in UTC.")]
UntilOption = Annotated[float | None, typer.Option(parser=_moment, metavar="DATE", help="Before then, in UTC.")]


@app.command("list")
@lists
def list_(
    api: Api,
    principal: PrincipalOption = None,
    action: ActionOption = None,
    about: ObjectOption = None,
    outcome: OutcomeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = None,
) -> Iterable[Row]:
    """List records, oldest first."""
    wanted = {"principal": principal, "action": action, "object": about, "outcome": outcome}
    times = {"since": since, "until": until}
    given = {name: str(value) for name, value in {**wanted, **times}.items() if value is not None}
    for each in api.items("/v1/audit", limit, **given):
        yield {name: each[name] for name in ("number", "time", "principal", "action", "objects", "outcome", "count")}


@app.command()
@reports(lambda _output, lines: _print(lines))
def export(
    api: Api,
    format_: Annotated[Format, typer.Option("--format", help="JSON lines, or CEF for a SIEM.")] = Format.JSONL,
    after: Annotated[int, typer.Option(min=0, metavar="N", help="Only what comes after record N.")] = 0,
) -> Iterable[bytes]:
    """Write records to stdout as they come, one a line."""
    import base64
    import json

    release = version("e4core")
    query: dict[str, str] = {"cursor": base64.urlsafe_b64encode(str(after).encode()).decode()} if after else {}
    for each in api.items("/v1/audit", None, **query):
        yield (json.dumps(each) if format_ is Format.JSONL else cef.line(each, release)).encode() + b"\n"


@app.command()
@shows
def key(api: Api) -> Row:
    """Show who signs the checkpoints; write it down where nobody gets who can change the C2."""
    log = api.get("/v1/audit/log")
    return {"public_key": log["public_key"], "first": log["base"] + 1, "last": log["last"]}


@app.command()
@lists
def checkpoints(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List the signed checkpoints."""
    return api.items("/v1/audit/checkpoints", limit)


@app.command()
@shows
def prune(
    api: Api,
    before: Annotated[float, typer.Option(parser=_moment, metavar="DATE", help="What is younger stays.")],
    yes: YesOption = False,
) -> Row:
    """Delete old records, up to the last checkpoint before a date. That is itself on record."""
    make_sure(yes, "records that are deleted are gone; export them first")
    return api.post("/v1/audit/prune", {"before": before})


@app.command()
def verify(
    context: typer.Context,
    public_key: KeyOption = None,
    witnessed: WitnessedOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="By database and KMS of the settings here, without asking a C2.")
    ] = False,
    config: ConfigOption = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    profile: ProfileOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Prove that no record was changed or is missing; else say which is the first that was (exit status 16)."""
    with server_extra():
        from e4cli import audit_check, witness
    pinned = _pinned(public_key)
    kept = witness.load(witnessed) if witnessed else []
    with progress("records") as advance:
        if offline:
            checked = _offline(config, pinned, kept, advance)
        else:
            with open_api(context, url, token_file, ca, profile) as api:
                checked = audit_check.check(api, pinned, kept, advance)
    show_record(output, checked)
    if pinned is None and not offline:
        remark("the C2 itself has said who signs; to be sure of it, give --public-key as it was when all was well")


@app.command("witness")
def witness_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to keep the checkpoints, one a line.")],
    public_key: Annotated[
        str, typer.Option("--public-key", metavar="KEY", envvar="E4_AUDIT_KEY", help="Who signs; see e4 audit key.")
    ],
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="URI", envvar="E4_BROKER", help="Else the embedded one of the C2 with its data in ./e4-data."
        ),
    ] = None,
    topic: Annotated[str, typer.Option(help="As audit_topic in the settings of the C2.")] = "e4-audit",
    output: StreamOption = Stream.TABLE,
) -> None:
    """Keep what a C2 signs of its audit log, on another machine, until Ctrl-C or SIGTERM; it cannot take it back then."""
    from e4cli.device_run import reached
    from e4cli.signals import run_until_stopped
    from e4core.plugins import load_transport

    with server_extra():
        from e4cli import witness
    key = _pinned(public_key)
    assert key is not None
    kept = witness.load(file) if file.exists() else []
    run_until_stopped(witness.watch(load_transport(reached(broker), ""), topic, key, file, kept, output))


def _offline(config: Path | None, pinned: PublicKey | None, kept: list[Checkpoint], advance: Any) -> Row:
    import asyncio

    from e4c2 import audit_offline
    from e4c2.settings import load

    found = asyncio.run(audit_offline.verify_log(load(config), kept, advance))
    if pinned not in (None, found.key):
        raise InvalidInput(f"this is the audit log of another database or key: {found.key}", kind="bad_key")
    return {"records": found.records, "checkpoints": found.checkpoints, "public_key": str(found.key)}


def _pinned(text: str | None) -> PublicKey | None:
    from e4c2.audit.signing import PublicKey

    return None if text is None else PublicKey.parse(text)


def _print(lines: Iterable[bytes]) -> None:
    for each in lines:
        write_bytes(each)
