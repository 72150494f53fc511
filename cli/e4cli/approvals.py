# SPDX-License-Identifier: Apache-2.0
"""``e4 approvals``: what one has asked for and another is to decide, where the C2 wants four eyes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from e4cli.api_client import Api
from e4cli.asking import LimitOption, hex_id, lists, shows
from e4cli.output import Row

app = typer.Typer(no_args_is_help=True, help="Decide what another has asked for.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the approval; see list.")]

_BRIEF = ("id", "state", "action", "requested_by", "requested_by_name", "expires")


@app.command("list")
@lists
def list_(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List the approvals that you have asked for, or may decide."""
    return ({name: each[name] for name in _BRIEF} for each in api.items("/v1/approvals", limit))


@app.command()
@shows
def show(api: Api, identity: IdArgument) -> Row:
    """Show an approval: the request, and all that it touches."""
    return api.get(_path(identity))


@app.command()
@shows
def approve(api: Api, identity: IdArgument) -> Row:
    """Let it be done, once, within an hour of the request: who asked repeats it with --approval."""
    return api.post(f"{_path(identity)}/approve")


@app.command()
@shows
def refuse(api: Api, identity: IdArgument) -> Row:
    """Do not let it be done."""
    return api.post(f"{_path(identity)}/refuse")


def _path(identity: str) -> str:
    return f"/v1/approvals/{hex_id(identity)}"
