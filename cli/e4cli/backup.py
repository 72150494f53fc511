# SPDX-License-Identifier: Apache-2.0
"""``e4 backup``: on the machine of a C2, from its settings. ``e4 recovery``: what a C2 that was restored waits for."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import YesOption, changes, make_sure, readable, shows
from e4cli.output import Output, OutputOption, Row, remark, show_record
from e4cli.serve import ConfigOption, server_extra

if TYPE_CHECKING:
    from e4c2.recovery.backups import Backup

app = typer.Typer(no_args_is_help=True, help="Back up the C2's database, and restore it; on the machine of the C2.")
recovery = typer.Typer(no_args_is_help=True, help="A C2 that was restored: see what it waits for, and let it go on.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@app.command()
def create(file: FileArgument, config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
    """Back up the database into a new file, also while the C2 is at work. Only the C2's KMSes open it."""
    with server_extra():
        from e4c2.recovery import offline
        from e4c2.settings import load
    made = asyncio.run(offline.create(load(config), file))
    _show(output, made, file=str(file), bytes=file.stat().st_size)


@app.command("show")
def show_backup(file: FileArgument, config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
    """Show what a backup is of, and which KMSes open it."""
    with server_extra():
        from e4c2.recovery import offline
        from e4c2.settings import load
    _show(output, asyncio.run(offline.show(load(config), file)))


@app.command()
def verify(file: FileArgument, config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
    """Prove that a backup can be restored: into a temporary file, where every row is looked at."""
    with server_extra():
        from e4c2.recovery import offline
        from e4c2.settings import load
    backup, rows = asyncio.run(offline.verify(load(config), file))
    _show(output, backup, verified_rows=rows)


@app.command()
def restore(
    file: FileArgument,
    database: Annotated[
        str | None, typer.Option(metavar="URI|PATH", help="An empty database; without it that of the settings.")
    ] = None,
    config: ConfigOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Make the database of a backup. The C2 is paused then, and only a new token is valid, in admin-token in its data folder."""
    with server_extra():
        from e4c2.recovery import offline
        from e4c2.settings import load, place_of
    settings = load(config)
    backup, text = asyncio.run(offline.restore(settings, file, None if database is None else place_of(database)))
    told: dict[str, Any] = {"token_file": str(settings.admin_token_file)}
    # only where a person looks, as at the first start
    _show(output, backup, **told, **({"token": text.decode()} if sys.stdout.isatty() else {}))
    remark("start the C2, which is paused now, and go on with: e4 recovery show")


@recovery.command()
@shows
def show(
    api: Api,
    witnessed: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A checkpoint of the audit log that a witness has kept, as JSON."),
    ] = None,
) -> Row:
    """Show from which backup the C2 was restored, and what is unknown since."""
    found = api.get("/v1/recovery")
    if witnessed is None:
        return found
    return {**found, **api.post("/v1/recovery/compare", _checkpoint(witnessed))}


@recovery.command()
@changes
def confirm(
    api: Api,
    backup: Annotated[str, typer.Argument(metavar="BACKUP", help="Id of the backup; see e4 recovery show.")],
    yes: YesOption = False,
) -> Document:
    """Say that clients and members are right now: every topic gets a new key, and the C2 sends again."""
    make_sure(yes, "every client and member that this C2 lists now gets new keys of its topics")
    return api.post("/v1/recovery/confirm", {"backup": backup})


def _checkpoint(file: Path) -> dict[str, Any]:
    """The newest in a file of one JSON object a line. Raises: InvalidInput. StorageError."""
    import json

    from e4core import files
    from e4core.errors import InvalidInput

    lines = files.read(file, private=False).split(b"\n")
    try:
        found: list[dict[str, Any]] = [json.loads(line) for line in lines if line.strip()]
        return max(found, key=lambda each: int(each["number"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InvalidInput(f"{file} holds no checkpoints, one JSON object a line", kind="bad_checkpoint") from None


def _show(output: Output, backup: Backup, **more: Any) -> None:
    of = backup.manifest
    row: dict[str, Any] = {"id": backup.id, "created": of.created, "release": of.release, "schema": of.schema}
    row |= {"suite": of.suite, "database": of.database, "kms": list(backup.kmses), "rows": of.total}
    counted = {name: of.rows[name] for name in ("client", "topic", "membership", "link")}
    show_record(output, readable(output, {**row, **counted, **more}))
