# SPDX-License-Identifier: Apache-2.0
"""``e4 token``: who may speak to a C2. The text of a token is shown once, where only the person asking for it looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from e4cli.api_client import Api
from e4cli.asking import LimitOption, hex_id, lists, shows
from e4cli.output import Output, OutputOption, Row, remark, show_record
from e4cli.serve import ConfigOption, server_extra
from e4core.errors import InvalidInput
from e4core.keys import check_client_name

_ALL = "*"


class Role(StrEnum):
    """As the API knows them."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    KEY_ADMIN = "key-admin"
    AUDITOR = "auditor"
    ENROLLER = "enroller"
    PROTECTOR = "protector"
    UNPROTECTOR = "unprotector"
    ADMIN = "admin"


RoleOption = Annotated[list[Role], typer.Option(help="What it lets do; may be given several times.")]
ClientsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Over which clients: a name, or its beginning and *. May be given several times; without it, over all.",
    ),
]
TopicsOption = Annotated[
    list[str] | None, typer.Option(metavar="PATTERN", help="Over which topics, as --clients; without it, over all.")
]

app = typer.Typer(no_args_is_help=True, help="Say who may speak to the C2.")
TokenArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the token; see list.")]
_DAY_S = 24 * 3600


@app.command()
@shows
def create(
    api: Api,
    name: Annotated[str, typer.Argument(help="What it is for; several may have the same.")],
    role: RoleOption,
    clients: ClientsOption = None,
    topics: TopicsOption = None,
    days: Annotated[
        float | None, typer.Option(max=36_500, help="How long it is valid; without it, until revoked.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its text there, mode 0600.")] = None,
) -> Row:
    """Make a token. It lets do no more than yours does."""
    if days is not None and not days > 0:
        raise typer.BadParameter("a token is valid for some time, or --days is left out")
    if out is None and not sys.stdout.isatty():
        raise InvalidInput("a token is shown on a terminal only; write it with --out FILE", kind="no_terminal")
    lifetime_s = None if days is None else days * _DAY_S
    grants = grants_of(role, clients, topics)
    made = api.post("/v1/tokens", {"name": checked_name(name), "grants": grants, "lifetime_s": lifetime_s})
    if out is None:
        return made
    write_token(api, f"/v1/tokens/{made['id']}", out, made.pop("token").encode() + b"\n")
    return {**made, "file": str(out)}


@app.command("list")
@lists
def list_(api: Api, limit: LimitOption = None) -> Iterable[Row]:
    """List tokens, without their texts."""
    return api.items("/v1/tokens", limit)


@app.command()
@shows
def show(api: Api, token: TokenArgument) -> Row:
    """Show a token, without its text."""
    return api.get(f"/v1/tokens/{hex_id(token)}")


@app.command()
@shows
def revoke(api: Api, token: TokenArgument) -> Row:
    """Revoke a token, at once."""
    identity = hex_id(token)
    api.delete(f"/v1/tokens/{identity}")
    return {"revoked": identity}


@app.command()
def recover(config: ConfigOption = None, output: OutputOption = Output.TABLE) -> None:
    """Make a token when none is left, on the machine of the C2, which must not run; it is in admin-token in its data folder."""
    import asyncio

    with server_extra():
        from e4c2 import app
        from e4c2.settings import load
    settings = load(config)
    made, text = asyncio.run(app.recover(settings))
    shown: Row = {"id": made.id, "name": made.name, "file": str(settings.admin_token_file)}
    # only where a person looks, as at the first start
    show_record(output, {**shown, "token": text.decode()} if sys.stdout.isatty() else shown)
    remark("one that is lost but not expired works until you revoke it: see e4 token list")


def grants_of(roles: list[Role], clients: list[str] | None, topics: list[str] | None) -> list[Row]:
    """As the API takes them."""
    over = {"clients": clients or [_ALL], "topics": topics or [_ALL]}
    return [{"role": each.value, **over} for each in dict.fromkeys(roles)]


def checked_name(name: str) -> str:
    """Names of tokens are made as those of clients are, and are none."""
    try:
        return check_client_name(name)
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("client name", "token name"), kind=error.kind) from error


def write_token(api: Api, token: str, path: Path, text: bytes) -> None:
    """Nobody has a token (a path of the API) that could not be written."""
    from e4core import files
    from e4core.errors import E4Error

    try:
        files.create(path, text)
    except E4Error:
        api.delete(token)
        raise
