# SPDX-License-Identifier: Apache-2.0
"""``e4 commands``: what a C2 sends to devices, and how far it is. ``e4 c2``: the C2 itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from e4cli.api_client import Api, Document
from e4cli.asking import LimitOption, Reason, YesOption, changes, hex_id, lists, make_sure, reports, shows
from e4cli.completing import known_clients
from e4cli.output import Output, Row, show_record, show_rows
from e4core.errors import E4Error

app = typer.Typer(no_args_is_help=True, help="See what the C2 sends to devices.")
c2 = typer.Typer(no_args_is_help=True, help="The C2 itself, and its own key.")


def _show_health(output: Output, condition: Document) -> None:
    """Raises: E4Error (``unwell``)."""
    if output is Output.JSON:
        show_record(output, condition)
    else:
        show_rows(output, condition["parts"])
    if condition["status"] == "failed":
        raise E4Error("a part of the C2 fails; its detail says what to do", kind="unwell")


@app.command("list")
@lists
def list_(
    api: Api,
    client: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only commands to this client.", autocompletion=known_clients),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only those that are pending, sending, sent, confirmed, refused, expired or superseded."),
    ] = None,
    limit: LimitOption = None,
) -> Iterable[Row]:
    """List commands, oldest first."""
    chosen = {"client": api.client_id(client) if client is not None else None, "state": state}
    return api.items("/v1/commands", limit, **{name: value for name, value in chosen.items() if value is not None})


@app.command()
@changes
def show(api: Api, operation: Annotated[str, typer.Argument(help="Id that a change gave.")]) -> Document:
    """Show how far the commands of a change are."""
    return api.get(f"/v1/operations/{hex_id(operation)}")


@app.command()
@changes
def retry(api: Api, command: Annotated[int, typer.Argument(help="Number, of e4 commands list.")]) -> Document:
    """Send anew what a device has refused, or never answered."""
    return api.post(f"/v1/commands/{command}/retry")


@c2.command("show")
@shows
def show_c2(api: Api) -> Row:
    """Show suite, broker and public keys of the C2."""
    return api.get("/v1/c2")


@c2.command()
@reports(_show_health)
def health(api: Api) -> Document:
    """Show how each part of the C2 is, and what to do about it. Status 1: one fails."""
    return api.get("/v1/c2/health")


@c2.command()
@shows
def ready(api: Api) -> Row:
    """Show whether the C2 can do its work now; if not, the exit status says why."""
    return api.get("/v1/ready")


@c2.command()
@changes
def new_key(
    api: Api,
    reason: Annotated[
        Reason, typer.Option(help="routine: it is sent to all clients; compromised: all clients are suspended.")
    ],
    yes: YesOption = False,
) -> Document:
    """Make a new C2 key: both are in use until finish. Or cut off all who know only one that is known to others."""
    if reason is Reason.COMPROMISED:
        make_sure(yes, "this suspends every client, and each must then be enrolled anew with a fresh key")
    return api.post("/v1/c2/key", {"reason": reason.value})


@c2.command()
@lists
def laggards(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List the active clients that are not known to hold the newest C2 key."""
    return api.items("/v1/c2/laggards", limit)


@c2.command()
@shows
def finish(
    api: Api,
    force: Annotated[bool, typer.Option(help="Although clients have not confirmed it; they stay reachable.")] = False,
) -> Row:
    """Make the new C2 key the active one."""
    return api.post("/v1/c2/key/finish", {"force": force})


@c2.command()
@shows
def abort(api: Api) -> Row:
    """Give the new C2 key up before finish: nobody else is told of it, and who has taken it stays reachable."""
    return api.post("/v1/c2/key/abort")
